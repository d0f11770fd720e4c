import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { HandleBody, HandleVerdict } from '../schemas/handle.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse } from '../schemas/response.js';
import { type RouteOptions, typed } from './route_options.js';

/** `POST /v1/handles/verify`: checks that a handle is authentic and current. */
export async function handleRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  typed(app).post(
    '/handles/verify',
    {
      schema: {
        operationId: 'verifyHandle',
        summary: 'Check that a handle is authentic and current',
        tags: ['handles'],
        querystring: NoQuery,
        body: refTo(HandleBody),
        response: { 200: jsonResponse(HandleVerdict, 'Whether the handle is valid, and if not, why.') },
      },
    },
    async ({ body }) => residency.verifyHandle(body.handle),
  );
}
