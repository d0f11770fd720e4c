import type { FastifyReply } from 'fastify';
import { WorkerError } from '../../errors.js';
import { peerStateOf } from '../../vram/socket.js';
import { descriptorOf } from './node_internals.js';
import { connectionOf } from './request_state.js';

const probePeriodMs = 1000;

/** Delays of the first probes after the client closes its half of the connection. Later probes are periodic. */
const firstProbesMs = [0, 10, 40];

/** Aborts if the client disconnects before its response is written: see `onDisconnect`. */
export function abortOnDisconnect(reply: FastifyReply): AbortSignal {
  const disconnect = new AbortController();
  onDisconnect(reply, () => disconnect.abort(clientGone()));
  return disconnect.signal;
}

/**
 * Calls the listener if the client disconnects before its response is written, or has disconnected. After a half close the
 * client may still read. Only a write shows whether it does, so the worker sends probes.
 */
export function onDisconnect(reply: FastifyReply, listener: () => void): void {
  const { raw } = reply;
  if (raw.destroyed) {
    listener();
    return;
  }
  const timers: NodeJS.Timeout[] = [];
  const startProbes = () => {
    for (const ms of firstProbesMs) timers.push(setTimeout(() => sendProcessing(reply), ms));
    timers.push(setInterval(() => sendProcessing(reply), probePeriodMs));
  };
  const cancel = connectionOf(raw.req.socket).onEnd(startProbes);
  raw.once('close', () => {
    cancel();
    for (const timer of timers) clearTimeout(timer);
    if (!raw.writableFinished) listener();
  });
}

/** The error of a request whose client has left. It is never sent. */
export const clientGone = () => new WorkerError('LENGTH_MISMATCH', 'The client disconnected');

/**
 * Awaits `waiting` and probes the client of a body that is not read yet, so that it detects a disconnect. Probes start
 * only after a half close, because Python's http.client takes a `102` for the final response. The worker cannot detect a
 * disconnect behind more unread body than the kernel buffers.
 */
export async function probeWhileWaiting<T>(reply: FastifyReply, waiting: Promise<T>): Promise<T> {
  const { socket } = reply.raw.req;
  const timer = setInterval(() => {
    const descriptor = descriptorOf(socket);
    if (descriptor !== undefined && peerStateOf(descriptor) !== 'open') sendProcessing(reply);
  }, probePeriodMs);
  try {
    return await waiting;
  } finally {
    clearInterval(timer);
  }
}

/** `102 Processing` (RFC 2518 §10.1), which HTTP/1.0 does not have. */
function sendProcessing({ raw }: FastifyReply): void {
  if (raw.req.httpVersion === '1.1' && !raw.headersSent) raw.writeProcessing();
}
