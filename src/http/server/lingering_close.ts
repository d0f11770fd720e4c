import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/** How long, and over how many bytes, a refused body is still taken in so that its sender reads the answer. */
const drainMs = 2000;
const drainBytes = 64 * 1024 * 1024;

const taken = new WeakSet<IncomingMessage>();

/** All of a request's body has been taken, also where Node does not know. */
export function markTaken(request: IncomingMessage): void {
  taken.add(request);
}

/** Whether all of a request's body is known to have been taken. */
export const isTaken = (request: IncomingMessage): boolean => taken.has(request);

/** Whether a request has a body of which something may still be on its way. */
export function unread(request: IncomingMessage): boolean {
  if (request.complete || request.readableEnded || taken.has(request)) return false;
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
}

/**
 * A response body that is written at once and ends only when the rest of the request's body is drained, or has taken
 * too long. Closing at once would have the kernel answer the bytes under way with a reset, and the client would lose
 * what it was told.
 */
export function lingeringClose(payload: string | Buffer, request: IncomingMessage): Readable {
  return Readable.from(
    (async function* () {
      yield payload;
      await drained(request);
    })(),
  );
}

/** Throws the rest of a request's body away, within bounds. Resolves in any case. */
export function drained(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let bytes = 0;
    const stop = (): void => {
      clearTimeout(timer);
      request.off('data', count).off('end', stop).off('close', stop).off('error', stop);
      request.pause();
      resolve();
    };
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > drainBytes) stop();
    };
    const timer = setTimeout(stop, drainMs);
    request.on('data', count).once('end', stop).once('close', stop).once('error', stop);
    request.resume();
  });
}
