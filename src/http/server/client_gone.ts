import type { FastifyReply } from 'fastify';
import { WorkerError } from '../../errors.js';
import { peerHasClosed } from '../../vram/socket.js';

/** How often a client that is kept waiting is looked after. */
const heartbeatMs = 1000;

/** When a client that has closed its half of the connection is written to: at once, twice more soon, then as above. */
const soonMs = [0, 10, 40];

/**
 * Aborts when the client leaves before its answer is written. One that has closed its half of the connection may still
 * listen, or may be gone: the system says so only once something is written to it.
 */
export function abortOnDisconnect(reply: FastifyReply): AbortSignal {
  const left = new AbortController();
  const { raw } = reply;
  const timers: NodeJS.Timeout[] = [];
  const probe = () => {
    for (const ms of soonMs) timers.push(setTimeout(() => beat(reply), ms));
    timers.push(setInterval(() => beat(reply), heartbeatMs));
  };
  const { socket } = raw.req;
  if (socket.readableEnded) probe();
  else socket.once('end', probe);
  raw.once('close', () => {
    socket.off('end', probe);
    for (const timer of timers) clearTimeout(timer);
    if (!raw.writableFinished) left.abort(new WorkerError('LENGTH_MISMATCH', 'The client left'));
  });
  return left.signal;
}

/**
 * Waits, and looks now and then whether the client has closed its half of a connection whose body is not read: only then
 * is it written to. Python's http.client, for one, takes a `102` for the answer. A client that leaves with more of its body
 * on the way than the system holds for us can't be seen before its turn.
 */
export async function keepWaiting<T>(reply: FastifyReply, waiting: Promise<T>): Promise<T> {
  const { socket } = reply.raw.req;
  const look = setInterval(() => {
    const handle: { fd?: unknown } | null | undefined = Reflect.get(socket, '_handle');
    if (typeof handle?.fd === 'number' && peerHasClosed(handle.fd)) beat(reply);
  }, heartbeatMs);
  try {
    return await waiting;
  } finally {
    clearInterval(look);
  }
}

/** `102 Processing` (RFC 2518 §10.1), which HTTP/1.0 does not know. */
function beat({ raw }: FastifyReply): void {
  if (raw.req.httpVersion === '1.1' && !raw.headersSent) raw.writeProcessing();
}
