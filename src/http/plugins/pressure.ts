import { getHeapStatistics } from 'node:v8';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';

/** Thresholds of an overloaded process. */
export interface PressureOptions {
  readonly maxEventLoopDelayMs?: number;
  readonly maxHeapBytes?: number;
}

const sampleMs = 1000;

/**
 * Sheds load if the event loop or the heap is far outside its healthy range. It applies to all callers together. Routes
 * without a rate limit are exempt. The delay of the event loop is that of the sample's own timer, so up to a second of it is not
 * seen. `monitorEventLoopDelay` would wake an idle worker 100 times a second. A sample opens no file, which could fail:
 * `process.memoryUsage()` does, and `@fastify/under-pressure` calls it in a timer.
 */
export const pressure = fp(
  async (app: FastifyInstance, { maxEventLoopDelayMs = 5000, maxHeapBytes = 3 * 2 ** 30 }: PressureOptions) => {
    let isOverloaded = false;
    let sampledMs = performance.now();
    let previousDelayMs = 0;
    const timer = setInterval(() => {
      const nowMs = performance.now();
      const delayMs = nowMs - sampledMs - sampleMs;
      // One late sample can be a pause of the process, which is over.
      const isLate = Math.min(delayMs, previousDelayMs) > maxEventLoopDelayMs;
      isOverloaded = isLate || getHeapStatistics().used_heap_size > maxHeapBytes;
      [sampledMs, previousDelayMs] = [nowMs, delayMs];
    }, sampleMs).unref();
    app.addHook('onClose', async () => clearInterval(timer));
    app.addHook('onRequest', (request, _reply, done) => {
      if (!isOverloaded || request.routeOptions.config.rateLimit === false) return done();
      done(new WorkerError('RATE_LIMITED', 'The worker is overloaded', { retryAfterMs: 1000 }));
    });
  },
);
