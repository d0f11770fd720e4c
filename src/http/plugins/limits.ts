import rateLimit from '@fastify/rate-limit';
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
