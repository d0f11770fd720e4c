import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import type { CommitResult } from '../../residency/commit/request.js';
import { Commit, CommitBody, type CommitFields } from '../schemas/commit.js';
import { NoQuery } from '../schemas/common.js';
import { refTo } from '../schemas/ref.js';
import { jsonResponse } from '../schemas/response.js';
import { type Holder, shardView } from '../serializers/shard.js';
import { abortOnDisconnect } from '../server/client_gone.js';
import { commitFieldsOf } from '../upload/commit_fields.js';
import { actorOf } from './actor.js';
import { type RouteOptions, reading, typed } from './route_options.js';

/** What a commit can be refused for, whichever way its bytes come. */
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
  'TOO_MANY_COMMITS',
  'VRAM_OOM',
  'HOST_OOM',
  'CUDA_ERROR',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
];

export const commitAnswers = {
  200: jsonResponse(Commit, 'The same bytes are here already: the handle that stands.'),
  201: jsonResponse(Commit, 'Sealed.'),
};

/** Answers with the handle: 201 for a new one, 200 for the one that stands. */
export function sendCommit(
  reply: FastifyReply,
  { created, handle, shard }: CommitResult,
  holder: Holder,
): FastifyReply {
  if (created) reply.code(201).header('location', `/v1/shards/${shard.shardId}`);
  return reply.send({ handle, shard: shardView(shard, holder) });
}

/** `POST /v1/commit` with JSON: a shard by reference, from the worker's own model directory. */
export async function commitRoutes(app: FastifyInstance, { residency }: RouteOptions): Promise<void> {
  const claims = reading(({ body: { source: _, ...fields } }: { body: CommitFields }) => commitFieldsOf(fields));
  typed(app).post(
    '/commit',
    {
      constraints: { media: 'json' },
      schema: {
        operationId: 'commit',
        summary: 'Put a shard into VRAM, prove it, seal it',
        description:
          'As JSON it names a file of the model directory. As `application/octet-stream` the body is the shard, and ' +
          'the query says what it is, as with `PUT`. The same shard again is a safe retry.',
        tags: ['shards'],
        querystring: NoQuery,
        body: refTo(CommitBody),
        response: commitAnswers,
      },
      config: { errors: commitErrors },
      preHandler: claims.before,
    },
    async (request, reply) => {
      const { path } = request.body.source;
      const result = await residency.commitFile(claims.of(request), path, actorOf(request), abortOnDisconnect(reply));
      return sendCommit(reply, result, residency);
    },
  );
}
