import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import type { CommitResult } from '../../residency/commit/request.js';
import { Commit, CommitBody, type CommitFields } from '../schemas/commit.js';
import { NoQuery } from '../schemas/common.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse, textHeader } from '../schemas/response.js';
import { type DriverInfo, serializeShard } from '../serializers/shard.js';
import { abortOnDisconnect } from '../server/client_gone.js';
import { commitFieldsOf } from '../upload/commit_fields.js';
import { actorOf } from './actor.js';
import { earlyParser, type RouteOptions, typed } from './route_options.js';
import { sourceErrors } from './source_errors.js';

/** The errors of uploads and of commits by reference. */
export const commitErrors: readonly ErrorCode[] = [
  'LENGTH_REQUIRED',
  'NOT_FOUND',
  'SHARD_CONFLICT',
  'SHARD_BUSY',
  'RESERVATION_EXPIRED',
  'MODEL_TOO_LARGE',
  'DIGEST_MISMATCH',
  'LENGTH_MISMATCH',
  'SEAL_VERIFICATION_FAILED',
  'POLICY_VIOLATION',
  'NOT_EXPORTABLE',
  'TOO_MANY_COMMITS',
  'VRAM_OOM',
  'HOST_OOM',
  'CUDA_ERROR',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
];

export const commitResponses = {
  200: jsonResponse(Commit, 'The same shard already exists: its current handle.'),
  201: jsonResponse(Commit, 'The shard is sealed: its new handle.', { Location: textHeader('The path of the shard.') }),
};

/** Sends the handle: 201 for a new shard, 200 for an existing one. */
export function sendCommit(
  reply: FastifyReply,
  { created, handle, shard }: CommitResult,
  driver: DriverInfo,
): FastifyReply {
  if (created) reply.code(201).header('location', `/v1/shards/${shard.shardId}`);
  return reply.send({ handle, shard: serializeShard(shard, driver) });
}

/** `POST /v1/commit` with JSON: a shard by reference. */
export async function commitRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const fields = earlyParser(({ body: { source: _, ...rest } }: { body: CommitFields }) => commitFieldsOf(rest));
  typed(app).post(
    '/commit',
    {
      constraints: { media: 'json' },
      schema: {
        operationId: 'commit',
        summary: 'Commit a shard by reference',
        description:
          'Reads one file of a source into GPU memory, verifies it there and seals it. The format and the rule about ' +
          'digests are checked before memory is allocated. Retrying the same commit is safe. To upload the bytes of a ' +
          'shard, use `PUT`.',
        tags: ['shards'],
        querystring: NoQuery,
        body: refTo(CommitBody),
        response: commitResponses,
      },
      config: { errors: [...commitErrors, ...sourceErrors] },
      preHandler: fields.preHandler,
    },
    async (request, reply) => {
      const result = await residency.commitSource({
        request: fields.of(request),
        reference: request.body.source,
        actor: actorOf(request),
        signal: abortOnDisconnect(reply),
      });
      return sendCommit(reply, result, residency);
    },
  );
}
