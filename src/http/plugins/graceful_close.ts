import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

const closePeriodMs = 50;

/** Adds `Connection: close` to every response once the shutdown is announced. */
export const gracefulClose = fp(async (app: FastifyInstance, { isLeaving }: { isLeaving: () => boolean }) => {
  app.addHook('onRequest', (_request, reply, done) => {
    if (isLeaving()) reply.header('connection', 'close');
    done();
  });
});

/**
 * Stops accepting connections and closes each one when it is idle. Requests may finish until the deadline; then the rest
 * is closed. Resolves when the last connection and every plugin are closed.
 */
export async function closeGracefully(app: FastifyInstance, deadlineMs: number): Promise<void> {
  const closed = app.close();
  const done = new AbortController();
  const closing = closeConnections(app, performance.now() + deadlineMs, done.signal);
  await closed.finally(() => done.abort());
  await closing;
}

async function closeConnections(app: FastifyInstance, deadline: number, done: AbortSignal): Promise<void> {
  while (!done.aborted) {
    if (performance.now() >= deadline) app.server.closeAllConnections();
    else app.server.closeIdleConnections();
    await sleep(closePeriodMs, undefined, { signal: done }).catch(() => undefined);
  }
}
