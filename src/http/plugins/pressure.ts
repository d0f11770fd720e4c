import { monitorEventLoopDelay } from 'node:perf_hooks';
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
const resolutionMs = 10;

/**
 * Sheds load if the event loop or the heap is far outside its healthy range. It applies to all callers together. Routes
 * without a rate limit are exempt. A sample opens no file, which could fail: `process.memoryUsage()` does, and
 * `@fastify/under-pressure` calls it in a timer.
 */
export const pressure = fp(
  async (app: FastifyInstance, { maxEventLoopDelayMs = 5000, maxHeapBytes = 3 * 2 ** 30 }: PressureOptions) => {
    const delays = monitorEventLoopDelay({ resolution: resolutionMs });
    delays.enable();
    let isOverloaded = false;
    const timer = setInterval(() => {
      // NaN without a value, after the machine suspended the process.
      const delayMs = delays.mean / 1e6 - resolutionMs;
      delays.reset();
      isOverloaded = delayMs > maxEventLoopDelayMs || getHeapStatistics().used_heap_size > maxHeapBytes;
    }, sampleMs).unref();
    app.addHook('onClose', async () => {
      clearInterval(timer);
      delays.disable();
    });
    app.addHook('onRequest', (request, _reply, done) => {
      if (!isOverloaded || request.routeOptions.config.rateLimit === false) return done();
      done(new WorkerError('RATE_LIMITED', 'The worker is overloaded', { retryAfterMs: 1000 }));
    });
  },
);
