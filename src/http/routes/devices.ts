import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { DeviceList } from '../schemas/device.js';
import { jsonResponse } from '../schemas/response.js';
import { serializeDevice } from '../serializers/plan.js';
import { type RouteOptions, typed } from './route_options.js';

/** `GET /v1/devices`: the GPUs of this worker and their memory. */
export async function deviceRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  typed(app).get(
    '/devices',
    {
      schema: {
        operationId: 'listDevices',
        summary: 'List the GPUs and their memory',
        tags: ['placement'],
        querystring: NoQuery,
        response: { 200: jsonResponse(DeviceList, 'The GPUs of this worker.') },
      },
      config: { access: 'read', errors: ['STARTING'] },
    },
    async () => ({ devices: residency.devices().map(serializeDevice) }),
  );
}
