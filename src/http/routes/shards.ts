import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import { EmptyBody, Shard, ShardList, shardParams, shardsQuery, Verification } from '../schemas/shard.js';
import { omitUndefined, readInteger } from '../serializers/scalars.js';
import { shardView, verificationView } from '../serializers/shard.js';
import { actorOf } from './actor.js';
import { type RouteOptions, reading, typed } from './route_options.js';

/** `/v1/shards`: what is here, whether it is still what it was, and its end. */
export async function shardRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const tags = ['shards'];
  const one = { tags, querystring: NoQuery, params: shardParams };
  const pageSize = reading(({ query: { limit } }: { query: { limit?: string } }) =>
    limit === undefined ? 100 : readInteger(limit, 'limit', 1, 1000),
  );

  typed(app).get(
    '/shards',
    {
      schema: {
        operationId: 'listShards',
        summary: 'List the shards on this worker',
        tags,
        querystring: shardsQuery,
        response: { 200: jsonResponse(ShardList, 'One page, in a stable order.') },
      },
      config: { access: 'read', errors: ['STARTING'] },
      preHandler: pageSize.before,
    },
    async (request) => {
      const { model_ref: modelRef, state, cursor } = request.query;
      const page = residency.shards({ limit: pageSize.of(request), ...omitUndefined({ modelRef, state, cursor }) });
      return { shards: page.shards.map((shard) => shardView(shard, residency)), next_cursor: page.nextCursor };
    },
  );

  typed(app).get(
    '/shards/:shard_id',
    {
      schema: {
        ...one,
        operationId: 'getShard',
        summary: 'Look at one shard',
        response: { 200: jsonResponse(Shard, 'The shard now.') },
      },
      config: { access: 'read', errors: ['NOT_FOUND', 'STARTING'] },
    },
    async ({ params }) => shardView(residency.shard(params.shard_id), residency),
  );

  typed(app).post(
    '/shards/:shard_id/verify',
    {
      schema: {
        ...one,
        operationId: 'verifyShard',
        summary: "Digest the device's bytes now",
        description:
          'Calls for one shard at one time share one run. A shard that fails becomes `corrupt`, and is so until it is ' +
          'repaired, which begins by itself where it came from a file, or released.',
        body: refTo(EmptyBody),
        response: { 200: jsonResponse(Verification, 'What was found.') },
      },
      config: {
        bodyOptional: true,
        errors: ['NOT_FOUND', 'SHARD_BUSY', 'CUDA_ERROR', 'STARTING', 'AUDIT_UNAVAILABLE'],
      },
    },
    async (request) => verificationView(await residency.verify(request.params.shard_id, actorOf(request))),
  );

  typed(app).delete(
    '/shards/:shard_id',
    {
      schema: {
        ...one,
        operationId: 'releaseShard',
        summary: 'Wipe a shard and free its memory',
        description: 'A shard that was lost in a restart is forgotten.',
        response: { 204: noContent('Wiped and freed.') },
      },
      config: { body: 'none', errors: ['NOT_FOUND', 'SHARD_BUSY', 'CUDA_ERROR', 'STARTING', 'AUDIT_UNAVAILABLE'] },
    },
    async (request, reply) => {
      await residency.release(request.params.shard_id, actorOf(request));
      return reply.code(204).send(undefined);
    },
  );
}
