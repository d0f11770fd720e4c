import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';

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
    timeWindow: 1000,
    store: RateLimitStore,
    hook: 'preHandler',
    keyGenerator: (request) => request.tokenFingerprint,
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

/** Beyond this many callers the store forgets the one with the oldest window. */
const maxKeys = 5000;

interface Window {
  count: number;
  startMs: number;
}

/**
 * Counts requests per key in fixed windows, for @fastify/rate-limit. The store of its version 11.2 returns one mutable
 * object per key, so all requests of one tick see the count of the last one.
 */
export class RateLimitStore {
  readonly #windows = new Map<string, Window>();

  incr(
    key: string,
    callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
    windowMs: number,
  ): void {
    const nowMs = performance.now();
    const window = this.#windows.get(key);
    if (window !== undefined && nowMs < window.startMs + windowMs) {
      window.count += 1;
      callback(null, { current: window.count, ttl: Math.ceil(window.startMs + windowMs - nowMs) });
      return;
    }
    this.#windows.delete(key);
    const [oldest] = this.#windows.size < maxKeys ? [] : this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
    this.#windows.set(key, { count: 1, startMs: nowMs });
    callback(null, { current: 1, ttl: windowMs });
  }

  child(): RateLimitStore {
    return new RateLimitStore();
  }
}
