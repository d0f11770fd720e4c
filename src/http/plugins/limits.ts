import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { clientKeyOf } from './client_key.js';
import { RateWindows } from './rate_windows.js';

const windowMs = 1000;

export interface RateOptions {
  /** For each token. */
  readonly requestsPerSecond: number;
}

/** Thresholds of an overloaded process. */
export interface PressureOptions {
  readonly maxEventLoopDelayMs?: number;
  readonly maxHeapBytes?: number;
}

/**
 * Limits the requests of each token. It counts a request only after every check of its content. A route opts out with
 * `rateLimit: false`.
 */
export const rateLimits = fp(async (app: FastifyInstance, { requestsPerSecond }: RateOptions) => {
  await app.register(rateLimit, {
    max: requestsPerSecond,
    timeWindow: windowMs,
    store: RateLimitStore,
    hook: 'preHandler',
    keyGenerator: clientKeyOf,
    errorResponseBuilder: (_request, { ttl }) =>
      new WorkerError('RATE_LIMITED', `The rate limit of ${requestsPerSecond} requests per second is exceeded`, {
        retryAfterMs: ttl,
      }),
  });
});

/**
 * Sheds load if the event loop or the heap is far outside its healthy range. It applies to all callers together. Routes
 * without a rate limit are exempt.
 */
export const pressure = fp(
  async (app: FastifyInstance, { maxEventLoopDelayMs = 5000, maxHeapBytes = 3 * 2 ** 30 }: PressureOptions) => {
    await app.register(underPressure, {
      maxEventLoopDelay: maxEventLoopDelayMs,
      maxHeapUsedBytes: maxHeapBytes,
      // The plugin reports an infinite delay if it has no sample: the process just started, or the machine suspended it.
      pressureHandler: (request, _reply, _type, value) => {
        if (value === Number.POSITIVE_INFINITY || request.routeOptions.config.rateLimit === false) return;
        throw new WorkerError('RATE_LIMITED', 'The worker is overloaded', { retryAfterMs: 1000 });
      },
    });
  },
);

/**
 * The store of @fastify/rate-limit. The one of its version 11.2 returns one mutable object per key, so all requests of
 * one tick see the count of the last one.
 */
class RateLimitStore {
  readonly #windows = new RateWindows();

  incr(
    key: string,
    callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
    windowMs: number,
  ): void {
    const { count, remainingMs } = this.#windows.add(key, windowMs);
    callback(null, { current: count, ttl: remainingMs });
  }

  child(): RateLimitStore {
    return new RateLimitStore();
  }
}
