import type { FastifyReply, FastifyRequest } from 'fastify';
import { clientKeyOf } from '../plugins/client_key.js';
import { tooManyUnread } from '../plugins/unread_responses.js';
import { BufferStream, isLong } from './buffer_stream.js';

/** A JSON body. Other responses share the middle of it. */
export interface SharedBody {
  readonly start?: Buffer;
  readonly shared: Buffer;
  readonly end?: Buffer | undefined;
}

/**
 * Sends a prepared body. A long one is streamed as the client reads.
 * @throws WorkerError RATE_LIMITED if clients have not read too many responses
 */
export function sendShared(
  request: FastifyRequest,
  reply: FastifyReply,
  { start = empty, shared, end = empty }: SharedBody,
): FastifyReply {
  const ownBytes = start.length + end.length;
  const bytes = ownBytes + shared.length;
  reply.header('content-type', 'application/json; charset=utf-8');
  if (!isLong(bytes)) return reply.send(ownBytes === 0 ? shared : Buffer.concat([start, shared, end]));
  const app = request.server;
  const owner = clientKeyOf(request);
  const response = reply.raw;
  const isHeld =
    request.method === 'HEAD' ||
    (app.holdUnread({ owner, response, bytes: shared.length, buffer: shared.buffer }) &&
      app.holdUnread({ owner, response, bytes: ownBytes, buffer: undefined }));
  if (!isHeld) {
    reply.removeHeader('etag').header('cache-control', 'no-store');
    throw tooManyUnread();
  }
  return reply.header('content-length', bytes).send(new BufferStream([start, shared, end]));
}

const empty = Buffer.alloc(0);
