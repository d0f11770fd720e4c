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
  app.addHook('onSend', (request, reply, payload, done) => {
    const bytes = lengthOf(payload);
    // The response of a client that has left emits `close` no more.
    const isUnsent = request.method === 'HEAD' || reply.raw.destroyed;
    if (bytes < minCountedBytes || isUnsent) return done(null, payload);
    const isEncrypted = 'encrypted' in request.raw.socket;
    const release = budget.hold({
      owner: clientKeyOf(request),
      // OpenSSL copies a response when it encrypts it. Over plain TCP all clients share a cached response.
      bytes: isEncrypted ? 2 * bytes : bytes,
      buffer: isEncrypted || !Buffer.isBuffer(payload) ? undefined : payload,
      evict: () => reply.raw.destroy(),
    });
    if (release === undefined) return done(null, refuse(request, reply));
    reply.raw.once('close', release);
    done(null, payload);
  });
});

declare module 'fastify' {
  interface FastifyInstance {
    /** Bytes of large responses that clients have not read yet. */
    readonly unreadResponseBytes: number;
  }
}

const lengthOf = (payload: unknown): number =>
  typeof payload === 'string' ? Buffer.byteLength(payload) : Buffer.isBuffer(payload) ? payload.length : 0;

/** Sends a small problem instead. */
function refuse(request: FastifyRequest, reply: FastifyReply): string {
  const error = new WorkerError('RATE_LIMITED', 'Too many responses of this token or address are unread', {
    retryAfterMs: 1000,
  });
  request.errorCode = error.code;
  const problem = problemOf(error, request.id);
  for (const name of ['etag', 'content-length']) reply.removeHeader(name);
  reply.code(problem.status).headers({ ...problemHeaders(problem), 'cache-control': 'no-store' });
  return JSON.stringify(problem);
}
