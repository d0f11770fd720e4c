import type { FastifyInstance } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import type { Pull } from '../../pulls/pull.js';
import { NoQuery } from '../schemas/common.js';
import {
  PullBody,
  type PullFields,
  PullList,
  Pull as PullSchema,
  pullParams,
  pullQuery,
  pullsQuery,
} from '../schemas/pull.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse, noContent, textHeader } from '../schemas/response.js';
import { serializePull, serializePulls } from '../serializers/pull.js';
import { actorOf } from './actor.js';
import { pullRequestOf } from './pull_request.js';
import { matches } from './ready_response.js';
import { earlyParser, type RouteOptions, typed } from './route_options.js';
import type { WaitEnd } from './wait_slots.js';

const tags = ['pulls'];
const pullHeaders = { Location: textHeader('The path of the pull.'), ETag: textHeader('The state of the pull.') };
const startErrors: readonly ErrorCode[] = [
  'NOT_FOUND',
  'RESERVATION_EXPIRED',
  'PULL_CONFLICT',
  'TOO_MANY_PULLS',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
];

/** `/v1/pulls`: starts, lists, returns and cancels pulls. */
export async function pullRoutes(app: FastifyInstance, options: RouteOptions): Promise<void> {
  startPull(app, options);
  listPulls(app, options);
  getPull(app, options);
  cancelPull(app, options);
}

function startPull(app: FastifyInstance, { pulls, config }: RouteOptions): void {
  const pullRequest = earlyParser(({ body }: { body: PullFields }) => pullRequestOf(body, config.pullDeadlineSeconds));
  typed(app).post(
    '/pulls',
    {
      schema: {
        operationId: 'startPull',
        summary: 'Pull a whole model from a source',
        description:
          'Every file of the model becomes a shard, or none does. A repeated request returns the same pull, for up to ' +
          'an hour after it has ended. A restart of the worker forgets pulls. A read of the pull shows its errors.',
        tags,
        querystring: NoQuery,
        body: refTo(PullBody),
        response: {
          200: jsonResponse(PullSchema, 'The same pull, which has ended.', pullHeaders),
          202: jsonResponse(PullSchema, 'The pull, which runs or waits.', pullHeaders),
        },
      },
      config: { errors: startErrors },
      preHandler: pullRequest.preHandler,
    },
    async (request, reply) => {
      const pull = pulls.start(pullRequest.of(request), actorOf(request));
      const { pullId } = pull.request;
      reply.code(pull.hasEnded ? 200 : 202).header('location', `/v1/pulls/${pullId}`);
      return reply.header('etag', etagOf(pull)).send(serializePull(pull.snapshot()));
    },
  );
}

function listPulls(app: FastifyInstance, { pulls }: RouteOptions): void {
  typed(app).get(
    '/pulls',
    {
      schema: {
        operationId: 'listPulls',
        summary: 'List the pulls of this worker',
        description: 'A pull is listed for an hour after it has ended. At most 64 ended pulls are listed.',
        tags,
        querystring: pullsQuery,
        response: { 200: jsonResponse(PullList, 'One page of pulls, in a stable order.') },
      },
      config: { access: 'read', errors: [] },
    },
    async ({ query: { limit = 100, cursor } }) => serializePulls(pulls.page({ limit, cursor })),
  );
}

function getPull(app: FastifyInstance, { pulls, polling: { slots } }: RouteOptions): void {
  typed(app).get(
    '/pulls/:pull_id',
    {
      schema: {
        operationId: 'getPull',
        summary: 'Get a pull, or wait for it',
        description:
          'The pull with its files. The worker keeps at most 64 ended pulls, each for an hour. The errors of the ' +
          'source, of formats and of memory are in `problem`.',
        tags,
        params: pullParams,
        querystring: pullQuery,
        response: {
          200: jsonResponse(PullSchema, 'The pull and its progress.'),
          304: noContent('Nothing changed since the response that `If-None-Match` names.'),
        },
      },
      config: { access: 'read', quiet: true, errors: ['NOT_FOUND'] },
    },
    async (request, reply) => {
      const { params, query, headers } = request;
      const pull = pulls.require(params.pull_id);
      const known = headers['if-none-match'];
      const isWanted = () => (known === undefined ? pull.hasEnded : !matches(known, etagOf(pull)));
      if (query.wait_seconds !== undefined && !isWanted()) {
        await slots.hold(request, reply, query.wait_seconds, (end) => waitUntil(pull, isWanted, end));
      }
      reply.header('etag', etagOf(pull));
      if (matches(known, etagOf(pull))) return reply.code(304).send();
      return reply.send(serializePull(pull.snapshot()));
    },
  );
}

function cancelPull(app: FastifyInstance, { pulls }: RouteOptions): void {
  typed(app).delete(
    '/pulls/:pull_id',
    {
      schema: {
        operationId: 'cancelPull',
        summary: 'Cancel a pull',
        description:
          'The pull ends as `cancelled` when everything that it holds is free. A pull that has ended does not change: ' +
          'release the shards of a sealed pull with `DELETE /v1/shards/{shard_id}`.',
        tags,
        params: pullParams,
        querystring: NoQuery,
        response: { 202: jsonResponse(PullSchema, 'The pull, which ends soon or has ended.') },
      },
      config: { body: 'none', errors: ['NOT_FOUND'] },
    },
    async ({ params }, reply) => reply.code(202).send(serializePull(pulls.cancel(params.pull_id).snapshot())),
  );
}

/** Resolves when the condition holds, the signal aborts or the time is over. */
async function waitUntil(pull: Pull, isWanted: () => boolean, { maxMs, signal }: WaitEnd): Promise<void> {
  const endMs = performance.now() + maxMs;
  for (let leftMs = maxMs; leftMs > 0 && !isWanted() && !signal.aborted; leftMs = endMs - performance.now()) {
    await pull.changes.after(pull.changes.revision, signal, leftMs);
  }
}

/** Names one state of a pull. Another pull of the same id has another time. */
const etagOf = ({ createdAtMs, changes }: Pull): string => `"${createdAtMs.toString(36)}-${changes.revision}"`;
