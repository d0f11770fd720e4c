import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import type { ReadyQuery } from '../../residency/status/readiness.js';
import { momentNow } from '../../vram/moment.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { Readiness, type ReadyFields, readyQuery } from '../schemas/ready.js';
import { jsonResponse, noContent, textHeader } from '../schemas/response.js';
import { omitUndefined } from '../serializers/scalars.js';
import { requestState } from '../server/request_state.js';
import { actorOf } from './actor.js';
import type { Polling } from './polling.js';
import type { PollQuery } from './ready_cache.js';
import { matches, type ReadyResponse } from './ready_response.js';
import { type Seen, seenIn } from './ready_waiters.js';
import type { RouteOptions } from './route_options.js';
import { sendShared } from './shared_body.js';

type ReadyRequest = FastifyRequest<{ Querystring: ReadyFields }>;

const schema = {
  operationId: 'ready',
  summary: 'Attest which sealed shards are resident',
  description:
    'Made for polling: the worker prepares the response once for each state. It hashes only if `max_age_seconds` requires ' +
    'it. `ready` describes the bytes as they were at `last_verified_at` of each shard. Send `If-None-Match` to get 304 ' +
    'while nothing changes, and `wait_seconds` to wait for a change. A 200 without a `nonce` has an `ETag`. With ' +
    '`wait_seconds`, a 503 has one too.',
  tags: ['readiness'],
  querystring: readyQuery,
  response: {
    200: jsonResponse(Readiness, 'At least one model is ready and nothing blocks the worker.', {
      ETag: textHeader('The state that the response describes, for `If-None-Match`. Absent with `nonce`.'),
    }),
    304: noContent('Nothing changed since the response that `If-None-Match` names.'),
    503: jsonResponse(Readiness, 'Not ready. `reasons` says why.', {
      ETag: textHeader('The state that the response describes. Absent without `wait_seconds`.'),
    }),
  },
};

/** `GET /v1/ready`: attests which sealed shards are resident. */
export async function readyRoutes(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { readyPublic } = options.config;
  app.get<{ Querystring: ReadyFields }>(
    '/ready',
    {
      schema: { ...schema, ...(readyPublic ? { security: [] } : {}) },
      config: { access: readyPublic ? 'public' : 'read', quiet: true, rateLimit: false, errors: ['RATE_LIMITED'] },
      preHandler: checkOf(app),
    },
    async (request, reply) => {
      const query = queryOf(request);
      const { nonce } = query;
      if (nonce === undefined) return sendReadiness(options, request, reply, query);
      const { response, body } = await options.polling.cache.attested({ ...query, nonce }, () => reply.raw.destroyed);
      const [shared, end] = body;
      return sendShared(request, reply.code(response.status), { shared, end });
    },
  );
}

/**
 * Checks a request before its handler. A prepared response costs nothing, and neither does a wait. A signature or a
 * verification counts for the rate limit.
 */
function checkOf(app: FastifyInstance) {
  const limitToken = app.rateLimit();
  return (request: ReadyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const { nonce, max_age_seconds } = request.query;
    const error = waitError(request);
    if (error !== undefined) done(error);
    else if (nonce === undefined && max_age_seconds === undefined) done();
    else if (request.role === undefined) done(app.openRateError(request));
    else Promise.resolve(limitToken.call(app, request, reply)).then(() => done(), done);
  };
}

/** Sends the response to a query without a nonce. */
async function sendReadiness(
  { residency, polling }: RouteOptions,
  request: ReadyRequest,
  reply: FastifyReply,
  query: ReadyQuery,
): Promise<FastifyReply> {
  const { wait_seconds, max_age_seconds } = request.query;
  const response = await responseAfterWait(polling, request, reply, query);
  if (response.status === 200 || wait_seconds !== undefined) {
    reply.header('etag', response.etag).header('cache-control', 'no-cache');
  }
  if (residency.isLeaving) reply.header('connection', 'close');
  if (wait_seconds === undefined && max_age_seconds === undefined) polling.repeated.remember(request, reply, query);
  const isKnown = response.status === 200 && matches(request.headers['if-none-match'], response.etag);
  if (isKnown) return reply.code(304).send();
  return sendShared(request, reply.code(response.status), { shared: response.body });
}

/** The response to a query, after the wait that a client of `wait_seconds` asks for. */
async function responseAfterWait(
  polling: Polling,
  request: ReadyRequest,
  reply: FastifyReply,
  query: ReadyQuery,
): Promise<ReadyResponse> {
  const first = await polling.cache.get(query, () => reply.raw.destroyed);
  const { wait_seconds: seconds } = request.query;
  if (seconds === undefined || !matches(request.headers['if-none-match'], first.etag)) return first;
  // Not awaited here, because this frame has the body of the first response, which can be large.
  return changedResponse(polling, request, reply, { query, seconds, seen: seenIn(first) });
}

/** Waits until the response differs from the one that the client has, or for `seconds`. */
async function changedResponse(
  { cache, waiters, slots }: Polling,
  request: ReadyRequest,
  reply: FastifyReply,
  { query, seconds, seen }: { readonly query: PollQuery; readonly seconds: number; readonly seen: Seen },
): Promise<ReadyResponse> {
  const response = await slots.hold(request, reply, seconds, (end) => waiters.wait(query, seen, end));
  if (response !== undefined && waiters.isValid(query, response)) return response;
  return cache.get({ ...query, askedAt: momentNow() });
}

function waitError({ query, role }: ReadyRequest): WorkerError | undefined {
  const { wait_seconds, nonce, max_age_seconds } = query;
  if (wait_seconds === undefined) return undefined;
  if (nonce !== undefined || max_age_seconds !== undefined) {
    return invalidParams('wait_seconds cannot be combined with nonce or max_age_seconds: send them after the wait');
  }
  return role === undefined ? new WorkerError('AUTH_FAILED', 'wait_seconds needs a token') : undefined;
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
