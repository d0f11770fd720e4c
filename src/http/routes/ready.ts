import type { FastifyInstance } from 'fastify';
import { WorkerError } from '../../errors.js';
import { Readiness, type ReadyFields, readyQuery } from '../schemas/ready.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { omitUndefined, readInteger } from '../serializers/scalars.js';
import { actorOf } from './actor.js';
import { matches, ReadyCache } from './ready_cache.js';
import { type RouteOptions, reading } from './route_options.js';

const maxAgeLimit = 1_000_000_000;

/** `GET /v1/ready`: attests which sealed shards are resident. */
export async function readyRoutes(app: FastifyInstance, { residency, config }: RouteOptions): Promise<void> {
  const cache = new ReadyCache(residency);
  const maxAge = reading(({ query: { max_age_seconds } }: { query: { max_age_seconds?: string } }) =>
    max_age_seconds === undefined ? undefined : readInteger(max_age_seconds, 'max_age_seconds', 1, maxAgeLimit),
  );

  app.get<{ Querystring: ReadyFields }>(
    '/ready',
    {
      schema: {
        operationId: 'ready',
        summary: 'Attest which sealed shards are resident',
        description: 'Made to be polled: it costs nothing near a hash, and `If-None-Match` gives 304.',
        tags: ['readiness'],
        querystring: readyQuery,
        response: {
          200: jsonResponse(Readiness, 'At least one model is ready and nothing stands in the way.'),
          304: noContent('The answer that `If-None-Match` names stands.'),
          503: jsonResponse(Readiness, 'Not ready; each thing in the way is a reason.'),
        },
        ...(config.readyPublic ? { security: [] } : {}),
      },
      config: {
        access: config.readyPublic ? 'public' : 'read',
        quiet: true,
        rateLimit: false,
        errors: [],
      },
      preHandler: maxAge.before,
    },
    async (request, reply) => {
      const { model_ref: modelRef, handles, nonce } = request.query;
      if (maxAge.of(request) !== undefined && request.role === undefined) {
        throw new WorkerError('AUTH_FAILED', 'max_age_seconds makes the device work: it takes a token here too');
      }
      const query = {
        withHandles: handles !== 'false',
        sparing: request.role !== 'operator',
        actor: actorOf(request),
        ...omitUndefined({ modelRef, nonce, maxAgeSeconds: maxAge.of(request) }),
      };
      const { status, body, etag } = await cache.answer(query);
      if (etag !== undefined) {
        reply.header('etag', etag).header('cache-control', 'no-cache');
        if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();
      }
      return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(body);
    },
  );
}
