import type { FastifyReply } from 'fastify';
import { WorkerError } from '../errors.js';

/** How often a client that is kept waiting is written to. */
const heartbeatMs = 1000;

/** Aborts when the client leaves before its answer is written. */
export function departure(reply: FastifyReply): AbortSignal {
  const left = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) left.abort(new WorkerError('LENGTH_MISMATCH', 'The client left'));
  });
  return left.signal;
}

/**
 * Waits, and tells the client that it does, by `102 Processing` (RFC 2518 §10.1). A connection whose body is not read
 * shows only when it is written to that nobody is there any more.
 */
export async function keepWaiting<T>(reply: FastifyReply, waiting: Promise<T>): Promise<T> {
  const beat = () => {
    if (reply.raw.req.httpVersion === '1.1' && !reply.raw.headersSent) reply.raw.writeProcessing();
  };
  const heartbeat = setInterval(beat, heartbeatMs);
  try {
    return await waiting;
  } finally {
    clearInterval(heartbeat);
  }
}
