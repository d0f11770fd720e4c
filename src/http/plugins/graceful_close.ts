import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { WorkerPhase } from '../../residency/state/signer.js';

/** While the worker drains, and once it has stopped, each answer asks its client to go elsewhere. */
export const gracefulClose = fp(async (app: FastifyInstance, { state }: { state: () => WorkerPhase }) => {
  app.addHook('onRequest', (_request, reply, done) => {
    if (['draining', 'stopped'].includes(state())) reply.header('connection', 'close');
    done();
  });
});

/**
 * Closes the server: no new connection, idle ones closed as they fall idle, what runs may finish until the deadline,
 * then all is cut. Resolves when the last connection is gone and every plugin has closed.
 */
export async function closeGracefully(app: FastifyInstance, deadlineMs: number): Promise<void> {
  const closed = app.close();
  const over = new AbortController();
  const reaping = reapIdle(app, performance.now() + deadlineMs, over.signal);
  await closed.finally(() => over.abort());
  await reaping;
}

async function reapIdle(app: FastifyInstance, deadline: number, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    if (performance.now() >= deadline) app.server.closeAllConnections();
    else app.server.closeIdleConnections();
    await sleep(50, undefined, { signal: over }).catch(() => undefined);
  }
}
