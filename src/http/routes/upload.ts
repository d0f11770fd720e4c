import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import type { Ingest } from '../../residency/commit/ingest.js';
import type { CommitResult } from '../../residency/commit/request.js';
import { type UploadQuery, uploadQuery } from '../schemas/commit.js';
import { abortOnDisconnect, keepWaiting } from '../server/client_gone.js';
import { sendContinue } from '../server/http_server.js';
import { markTaken } from '../server/lingering_close.js';
import { directReadOf, wasReadDirectly } from '../upload/direct_read.js';
import { QueuedStallTimer } from '../upload/stall_timer.js';
import { streamBody } from '../upload/stream_body.js';
import { uploadRequestOf } from '../upload/upload_request.js';
import { actorOf } from './actor.js';
import { commitAnswers, commitErrors, sendCommit } from './commit.js';
import { type RouteOptions, reading } from './route_options.js';

/**
 * `PUT` and `POST /v1/commit`: the body is the shard. Nothing of it is read before all that can refuse it has been
 * asked.
 */
export async function uploadRoutes(app: FastifyInstance, { residency, config }: RouteOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  const declaration = reading((request: { query: UploadQuery; headers: IncomingHttpHeaders }) =>
    uploadRequestOf(request.query, request.headers),
  );

  const route = {
    schema: {
      operationId: 'uploadShard',
      summary: 'Put a shard into VRAM, prove it, seal it',
      description: 'The body is the shard, so `curl -T FILE URL` works as it is. The same shard again is a safe retry.',
      tags: ['shards'],
      querystring: uploadQuery,
      response: commitAnswers,
    },
    config: {
      body: 'bytes' as const,
      errors: commitErrors,
    },
    preHandler: declaration.before,
    handler: async (
      request: FastifyRequest<{ Querystring: UploadQuery }>,
      reply: FastifyReply,
    ): Promise<FastifyReply> => {
      const declared = declaration.of(request);
      const admission = residency.admit(declared, actorOf(request));
      if (admission.kind === 'standing') return sendCommit(reply, admission.result, residency);
      const result = await receive(request, reply, admission.intake, declared.vramBytes, config.uploadIdleSeconds);
      return sendCommit(reply, result, residency);
    },
  };
  app.put('/commit', route);
  app.post('/commit', { ...route, schema: { ...route.schema, hide: true } });
}

/**
 * Takes an admitted body in. Whatever goes wrong, the client's leaving included, the intake has given everything back.
 */
async function receive(
  request: FastifyRequest,
  reply: FastifyReply,
  intake: Ingest,
  vramBytes: number,
  idleSeconds: number,
): Promise<CommitResult> {
  const left = abortOnDisconnect(reply);
  left.addEventListener('abort', () => void intake.abort(left.reason));
  try {
    const watchdog = new QueuedStallTimer(request.raw, idleSeconds, (detail) => {
      void intake.abort(new WorkerError('UPLOAD_TIMEOUT', detail));
    });
    await keepWaiting(reply, intake.start()).finally(() => watchdog.stop());
    sendContinue(request.raw, reply.raw);
    const bypass = directReadOf(request.raw, (descriptor) => intake.receive(descriptor));
    await streamBody(request.raw, intake, vramBytes, idleSeconds, bypass);
    markTaken(request.raw);
    if (wasReadDirectly(request.raw)) reply.header('connection', 'close');
    return await intake.finish();
  } catch (error) {
    await intake.abort(error);
    throw error;
  }
}
