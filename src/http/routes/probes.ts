import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { Health, Liveness } from '../schemas/ready.js';
import { jsonResponse } from '../schemas/response.js';
import { type RouteOptions, typed } from './route_options.js';

const schema = { tags: ['probes'], querystring: NoQuery, security: [] };

/** `/livez` and `/readyz`, for a supervisor or an orchestrator. They need no token and reveal nothing about shards. */
export async function probeRoutes(app: FastifyInstance, options: Pick<RouteOptions, 'residency'>): Promise<void> {
  livez(app);
  readyz(app, options);
}

function livez(app: FastifyInstance): void {
  typed(app).get(
    '/livez',
    {
      schema: {
        ...schema,
        operationId: 'livez',
        summary: 'Check that the process responds',
        response: { 200: jsonResponse(Liveness, 'The process responds.') },
      },
      config: { access: 'public', quiet: true, rateLimit: false },
    },
    async () => ({ status: 'ok' as const }),
  );
}

function readyz(app: FastifyInstance, { residency }: Pick<RouteOptions, 'residency'>): void {
  typed(app).get(
    '/readyz',
    {
      schema: {
        ...schema,
        operationId: 'readyz',
        summary: 'Check whether the worker accepts work',
        description:
          'The worker accepts work if it has started, has restored its shards and is not shutting down. It must be able to write ' +
          'its audit log and its manifest, and no call of the driver or of the file system may be stuck for 10 seconds. It ' +
          'needs no shards.',
        response: {
          200: jsonResponse(Health, 'The worker accepts work.'),
          503: jsonResponse(Health, 'The worker does not accept work, and why.'),
        },
      },
      config: { access: 'public', quiet: true, rateLimit: false },
    },
    async (_request, reply) => {
      const { ok, reasons } = await residency.health();
      reply.code(ok ? 200 : 503);
      return { ready: ok, reasons: reasons.map(({ code, detail }) => ({ code, detail })) };
    },
  );
}
