import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { BodyDrain } from './body_drain.js';
import { DrainQueue } from './drain_queue.js';
import { requestState } from './request_state.js';

const drains = new DrainQueue();

/** Whether part of the request's body may still arrive. */
export function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete || request.readableEnded || requestState(request).bodyConsumed) return false;
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
}

/**
 * A response body that is written immediately and ends after the rest of the request's body is drained. If the worker
 * closed immediately, the kernel would reset the connection on the next byte, and the client would lose the response.
 */
export function lingeringClose(payload: string | Buffer, request: IncomingMessage): Readable {
  return Readable.from(
    (async function* () {
      yield payload;
      await drainBody(request);
    })(),
  );
}

/** Discards the rest of a request's body, up to the limits of the drain queue. Never rejects. */
export async function drainBody(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return;
  await drains.drain(new BodyDrain(request));
}
