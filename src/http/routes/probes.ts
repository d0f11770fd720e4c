import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { Health, Liveness } from '../schemas/ready.js';
import { jsonResponse } from '../schemas/response.js';
import { type RouteOptions, typed } from './route_options.js';

/** `/livez` and `/readyz`, for whoever starts and feeds the process. Open to all; they tell nothing of what is here. */
export async function probeRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const schema = { tags: ['probes'], querystring: NoQuery, security: [] };

  typed(app).get(
    '/livez',
    {
      schema: {
        ...schema,
        operationId: 'livez',
        summary: 'Whether the process answers',
        response: { 200: jsonResponse(Liveness, 'It does.') },
      },
      config: { access: 'public', quiet: true },
    },
    async () => ({ status: 'ok' as const }),
  );

  typed(app).get(
    '/readyz',
    {
      schema: {
        ...schema,
        operationId: 'readyz',
        summary: 'Whether the worker can be given work',
        description: 'Devices are up, nothing drains, the audit log can be written. An empty worker is ready.',
        response: { 200: jsonResponse(Health, 'It can.'), 503: jsonResponse(Health, 'It cannot, and why.') },
      },
      config: { access: 'public', quiet: true },
    },
    async (_request, reply) => {
      const { ok, reasons } = residency.health();
      reply.code(ok ? 200 : 503);
      return { ready: ok, reasons: reasons.map(({ code, detail }) => ({ code, detail })) };
    },
  );
}
