import type { FastifyInstance } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import { encodeInSlices } from '../../residency/status/json_pieces.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { NoQuery } from '../schemas/common.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse, noContent } from '../schemas/response.js';
import {
  EmptyBody,
  releaseQuery,
  Shard,
  ShardList,
  type ShardsFields,
  shardParams,
  shardsQuery,
  Verification,
} from '../schemas/shard.js';
import { omitUndefined } from '../serializers/scalars.js';
import { serializeShard, serializeVerification, shardPageJson } from '../serializers/shard.js';
import { requestState } from '../server/request_state.js';
import { actorOf } from './actor.js';
import { type RouteOptions, typed } from './route_options.js';

const tags = ['shards'];
const releaseErrors: readonly ErrorCode[] = [
  'NOT_FOUND',
  'SHARD_BUSY',
  'SHARD_LEASED',
  'CUDA_ERROR',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
  'KEEPER_UNAVAILABLE',
];
const oneShard = { tags, querystring: NoQuery, params: shardParams };

/** `/v1/shards`: lists, returns, verifies and releases shards. */
export async function shardRoutes(app: FastifyInstance, options: RouteOptions): Promise<void> {
  listShards(app, options);
  getShard(app, options);
  verifyShard(app, options);
  releaseShard(app, options);
}

function listShards(app: FastifyInstance, { residency }: RouteOptions): void {
  app.get<{ Querystring: ShardsFields }>(
    '/shards',
    {
      schema: {
        operationId: 'listShards',
        summary: 'List the shards of this worker',
        tags,
        querystring: shardsQuery,
        response: { 200: jsonResponse(ShardList, 'One page of shards, in a stable order.') },
      },
      config: { access: 'read', errors: ['STARTING'] },
    },
    async (request, reply) => {
      const { model_ref: modelRef, state, cursor, limit = 100 } = request.query;
      const page = residency.shards({ limit, ...omitUndefined({ modelRef, state, cursor }) });
      const body = await encodeInSlices(shardPageJson(page, residency));
      return reply.header('content-type', 'application/json; charset=utf-8').send(body);
    },
  );
}

function getShard(app: FastifyInstance, { residency }: RouteOptions): void {
  typed(app).get(
    '/shards/:shard_id',
    {
      schema: {
        ...oneShard,
        operationId: 'getShard',
        summary: 'Get a shard',
        response: { 200: jsonResponse(Shard, 'The shard and its current state.') },
      },
      config: { access: 'read', errors: ['NOT_FOUND', 'STARTING'] },
    },
    async ({ params }) => serializeShard(residency.shard(params.shard_id), residency),
  );
}

function verifyShard(app: FastifyInstance, { residency }: RouteOptions): void {
  typed(app).post(
    '/shards/:shard_id/verify',
    {
      schema: {
        ...oneShard,
        operationId: 'verifyShard',
        summary: 'Verify a shard in GPU memory now',
        description:
          'Hashes the bytes on the GPU. Concurrent requests for one shard share a run that began after each of them came ' +
          'in. A shard becomes `corrupt` when its first damaged slice is read, until it is repaired or released. If the ' +
          'shard came from a file, the repair starts automatically.',
        body: refTo(EmptyBody),
        response: { 200: jsonResponse(Verification, 'The result. A failed verification is also a 200.') },
      },
      config: {
        bodyOptional: true,
        errors: ['NOT_FOUND', 'SHARD_BUSY', 'CUDA_ERROR', 'STARTING', 'AUDIT_UNAVAILABLE'],
      },
    },
    async (request) => {
      const { arrivedAt } = requestState(request.raw);
      return serializeVerification(await residency.verify(request.params.shard_id, actorOf(request), arrivedAt));
    },
  );
}

function releaseShard(app: FastifyInstance, { residency }: RouteOptions): void {
  typed(app).delete(
    '/shards/:shard_id',
    {
      schema: {
        ...oneShard,
        operationId: 'releaseShard',
        querystring: releaseQuery,
        summary: 'Wipe a shard and free its memory',
        description:
          'For a shard that a restart lost, this removes it from the list of lost shards. If other processes have attached ' +
          'the shard, `force` is needed. The memory is then wiped and freed when the last of them has ended.',
        response: {
          202: jsonResponse(Shard, 'Other processes have the memory. It is wiped and freed when they have ended.'),
          204: noContent('The shard is wiped and its memory is free.'),
        },
      },
      config: { body: 'none', errors: releaseErrors },
    },
    async (request, reply) => {
      const { shard_id: shardId } = request.params;
      const { force = false, grace_seconds: graceSeconds } = request.query;
      if (!force && graceSeconds !== undefined) throw invalidParams('grace_seconds has no effect without force');
      const forced = force ? { graceSeconds: graceSeconds ?? 0 } : undefined;
      const outcome = await residency.release(shardId, actorOf(request), forced);
      if (outcome === 'freed') return reply.code(204).send(undefined);
      return reply.code(202).send(serializeShard(residency.shard(shardId), residency));
    },
  );
}
