import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import type { Ingest } from '../../residency/commit/ingest.js';
import type { CommitResult } from '../../residency/commit/request.js';
import { type UploadQuery, uploadHeaders, uploadQuery } from '../schemas/commit.js';
import { abortOnDisconnect, probeWhileWaiting } from '../server/client_gone.js';
import { sendContinue } from '../server/http_server.js';
import { requestState } from '../server/request_state.js';
import { directReadOf } from '../upload/direct_read.js';
import { type ContendedRate, contendedWindowSeconds, QueuedStallTimer } from '../upload/stall_timer.js';
import { streamBody } from '../upload/stream_body.js';
import { uploadRequestOf } from '../upload/upload_request.js';
import { actorOf } from './actor.js';
import { commitErrors, commitResponses, sendCommit } from './commit.js';
import { earlyParser, type RouteOptions } from './route_options.js';

type UploadRequest = FastifyRequest<{ Querystring: UploadQuery }>;

const schema = {
  operationId: 'uploadShard',
  summary: 'Upload and commit a shard',
  description:
    'Writes the body into GPU memory, verifies it there and seals it. `curl -T FILE URL` works. ' +
    'Retrying the same upload is safe.',
  tags: ['shards'],
  querystring: uploadQuery,
  response: commitResponses,
};

/** `PUT` and `POST /v1/commit`: the body is the shard. The worker reads it only after every check passed. */
export async function uploadRoutes(app: FastifyInstance, { residency, config }: RouteOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  const uploadRequest = earlyParser((request: { query: UploadQuery; headers: IncomingHttpHeaders }) =>
    uploadRequestOf(request.query, request.headers),
  );
  const route = {
    schema: { ...schema },
    config: { body: 'bytes' as const, headers: uploadHeaders, errors: commitErrors },
    preHandler: uploadRequest.preHandler,
    handler: async (request: UploadRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const commit = uploadRequest.of(request);
      const { vramBytes } = commit;
      const admission = residency.admit(commit, actorOf(request));
      if (admission.kind === 'existing') return sendCommit(reply, admission.result, residency);
      const { ingest } = admission;
      const contended: ContendedRate = {
        minBytesPerSecond: config.uploadMinBytesPerSecond,
        windowSeconds: contendedWindowSeconds,
        isContended: () => ingest.othersWait,
      };
      const limits = { declaredBytes: vramBytes, idleSeconds: config.uploadIdleSeconds, contended };
      const result = await receive(request, reply, ingest, limits);
      return sendCommit(reply, result, residency);
    },
  };
  app.put('/commit', route);
  app.post('/commit', { ...route, schema: { ...schema, hide: true } });
}

interface BodyLimits {
  readonly declaredBytes: number;
  readonly idleSeconds: number;
  readonly contended: ContendedRate;
}

/** Receives an admitted body. On any error, or if the client disconnects, the ingest frees everything it holds. */
async function receive(
  request: FastifyRequest,
  reply: FastifyReply,
  ingest: Ingest,
  limits: BodyLimits,
): Promise<CommitResult> {
  const disconnect = abortOnDisconnect(reply);
  disconnect.addEventListener('abort', () => void ingest.abort(disconnect.reason));
  try {
    disconnect.throwIfAborted();
    await waitForSlot(request, reply, ingest, limits);
    sendContinue(request.raw, reply.raw);
    const directRead = directReadOf(request.raw, (descriptor) => ingest.receive(descriptor));
    await streamBody(request.raw, ingest, { ...limits, directRead });
    const state = requestState(request.raw);
    state.bodyConsumed = true;
    if (state.readDirectly) reply.header('connection', 'close');
    return await ingest.finish();
  } catch (error) {
    await ingest.abort(error);
    throw error;
  }
}

async function waitForSlot(
  request: FastifyRequest,
  reply: FastifyReply,
  ingest: Ingest,
  { idleSeconds }: BodyLimits,
): Promise<void> {
  const stallTimer = new QueuedStallTimer(request.raw, idleSeconds, (detail) => {
    void ingest.abort(new WorkerError('UPLOAD_TIMEOUT', detail));
  });
  await probeWhileWaiting(reply, ingest.start()).finally(() => stallTimer.stop());
}
