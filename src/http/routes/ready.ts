import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import type { ReadyQuery } from '../../residency/status/readiness.js';
import { Readiness, type ReadyFields, readyQuery } from '../schemas/ready.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { omitUndefined } from '../serializers/scalars.js';
import { requestState } from '../server/request_state.js';
import { actorOf } from './actor.js';
import { matches, ReadyCache } from './ready_cache.js';
import type { RouteOptions } from './route_options.js';

type ReadyRequest = FastifyRequest<{ Querystring: ReadyFields }>;

const schema = {
  operationId: 'ready',
  summary: 'Attest which sealed shards are resident',
  description:
    'Made for polling: the worker caches the response and does not hash anything. Send `If-None-Match` to get 304 ' +
    'while nothing changes.',
  tags: ['readiness'],
  querystring: readyQuery,
  response: {
    200: jsonResponse(Readiness, 'At least one model is ready and nothing blocks the worker.'),
    304: noContent('Nothing changed since the response that `If-None-Match` names.'),
    503: jsonResponse(Readiness, 'Not ready. `reasons` says why.'),
  },
};

/** `GET /v1/ready`: attests which sealed shards are resident. */
export async function readyRoutes(app: FastifyInstance, { residency, config }: RouteOptions): Promise<void> {
  const cache = new ReadyCache(residency);
  const limitToken = app.rateLimit();
  /** A cached response costs nothing. A signature or a verification counts for the rate limit. */
  const limitRate = (request: ReadyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const { nonce, max_age_seconds } = request.query;
    if (nonce === undefined && max_age_seconds === undefined) done();
    else if (request.role === undefined) done(app.openRateError(request));
    else Promise.resolve(limitToken.call(app, request, reply)).then(() => done(), done);
  };
  app.get<{ Querystring: ReadyFields }>(
    '/ready',
    {
      schema: { ...schema, ...(config.readyPublic ? { security: [] } : {}) },
      config: {
        access: config.readyPublic ? 'public' : 'read',
        quiet: true,
        rateLimit: false,
        errors: [],
      },
      preHandler: limitRate,
    },
    async (request, reply) => {
      const { status, body, etag } = await cache.get(queryOf(request), () => reply.raw.destroyed);
      if (etag !== undefined) {
        reply.header('etag', etag).header('cache-control', 'no-cache');
        if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();
      }
      return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(body);
    },
  );
}

/** @throws WorkerError AUTH_FAILED if a client without a token asks for a verification */
function queryOf(request: ReadyRequest): ReadyQuery {
  const { model_ref: modelRef, handles = true, nonce, max_age_seconds: maxAgeSeconds } = request.query;
  if (maxAgeSeconds !== undefined && request.role === undefined) {
    throw new WorkerError('AUTH_FAILED', 'max_age_seconds needs a token: it can start a verification');
  }
  return {
    withHandles: handles,
    askedAt: requestState(request.raw).arrivedAt,
    limited: request.role !== 'operator',
    actor: actorOf(request),
    ...omitUndefined({ modelRef, nonce, maxAgeSeconds }),
  };
}
