import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { requestState } from './request_state.js';

/** Limits for the rest of a refused body. Its sender reads the response only if the worker drains the body. */
const maxDrainMs = 2000;
const maxDrainBytes = 64 * 1024 * 1024;

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

/** Discards the rest of a request's body, up to the limits. Never rejects. */
export function drainBody(request: IncomingMessage): Promise<void> {
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
      if (bytes > maxDrainBytes) stop();
    };
    const timer = setTimeout(stop, maxDrainMs);
    request.on('data', count).once('end', stop).once('close', stop).once('error', stop);
    request.resume();
  });
}
