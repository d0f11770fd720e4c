import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { problemHeaders, problemOf } from '../errors/problem.js';
import { MemoryBudget } from '../server/memory_budget.js';
import { clientKeyOf } from './client_key.js';

/** A smaller response does not count: a connection has one at a time, and the number of connections is limited. */
const minCountedBytes = 16 * 1024;

/** Responses that clients have not read yet, in the whole process. */
const maxUnreadBytes = 128 * 1024 * 1024;

/**
 * Limits the memory of responses that clients do not read. Over the limit the worker disconnects the client that causes
 * most of it, or refuses its next response.
 */
export const unreadResponses = fp(async (app: FastifyInstance) => {
  const budget = new MemoryBudget(maxUnreadBytes);
  app.decorate('unreadResponseBytes', { getter: () => budget.heldBytes });
  app.decorate('holdUnread', ({ response, ...held }: UnreadResponse): boolean => {
    // The response of a client that has left emits `close` no more.
    if (held.bytes < minCountedBytes || response.destroyed) return true;
    const release = budget.hold({ ...held, evict: () => response.destroy() });
    if (release === undefined) return false;
    response.once('close', release);
    return true;
  });
  app.addHook('onSend', (request, reply, payload, done) => {
    const bytes = lengthOf(payload);
    if (bytes < minCountedBytes || request.method === 'HEAD') return done(null, payload);
    const isEncrypted = 'encrypted' in request.raw.socket;
    const isHeld = app.holdUnread({
      owner: clientKeyOf(request),
      // OpenSSL copies a response when it encrypts it. Over plain TCP all clients share a prepared response.
      bytes: isEncrypted ? 2 * bytes : bytes,
      buffer: isEncrypted || !Buffer.isBuffer(payload) ? undefined : payload,
      response: reply.raw,
    });
    done(null, isHeld ? payload : refuse(request, reply));
  });
});

const lengthOf = (payload: unknown): number =>
  typeof payload === 'string' ? Buffer.byteLength(payload) : Buffer.isBuffer(payload) ? payload.length : 0;

/** A response that its client may read slowly. */
export interface UnreadResponse {
  /** The client's token or network. */
  readonly owner: string;
  readonly bytes: number;
  /** The bytes, if other responses share them. They then count once. */
  readonly buffer: object | undefined;
  readonly response: FastifyReply['raw'];
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Bytes of large responses that clients have not read yet. */
    readonly unreadResponseBytes: number;
    /** Counts a response until it is read. Returns false if there is no room for it. */
    holdUnread(unread: UnreadResponse): boolean;
  }
}

/** The error of a response for which there is no room. */
export const tooManyUnread = (): WorkerError =>
  new WorkerError('RATE_LIMITED', 'Too many responses of this token or address are unread', { retryAfterMs: 1000 });

/** Sends a small problem instead. */
function refuse(request: FastifyRequest, reply: FastifyReply): string {
  const error = tooManyUnread();
  request.errorCode = error.code;
  const problem = problemOf(error, request.id);
  for (const name of ['etag', 'content-length']) reply.removeHeader(name);
  reply.code(problem.status).headers({ ...problemHeaders(problem), 'cache-control': 'no-store' });
  return JSON.stringify(problem);
}
