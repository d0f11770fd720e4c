import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { RateWindows } from './rate_window.js';

export interface RateOptions {
  /** For each token. */
  readonly requestsPerSecond: number;
}

/** Beyond these the worker refuses everything for a while. */
export interface PressureOptions {
  readonly maxEventLoopDelayMs?: number;
  readonly maxHeapBytes?: number;
}

/**
 * How often a token may call, counted after all that is wrong with a request has been told. Routes opt out by
 * `rateLimit: false`.
 */
export const rateLimits = fp(async (app: FastifyInstance, { requestsPerSecond }: RateOptions) => {
  await app.register(rateLimit, {
    max: requestsPerSecond,
    timeWindow: 1000,
    store: RateWindows,
    hook: 'preHandler',
    keyGenerator: (request) => request.tokenFingerprint,
    errorResponseBuilder: (_request, { ttl }) =>
      new WorkerError('RATE_LIMITED', `More than ${requestsPerSecond} requests in one second`, { retryAfterMs: ttl }),
  });
});

/**
 * Sheds load when the event loop or the heap is far beyond what they are in any healthy state: for everybody together, as
 * the rate limit does for each. Routes that opt out of that are answered here too.
 */
export const pressure = fp(
  async (app: FastifyInstance, { maxEventLoopDelayMs = 5000, maxHeapBytes = 3 * 2 ** 30 }: PressureOptions) => {
    await app.register(underPressure, {
      maxEventLoopDelay: maxEventLoopDelayMs,
      maxHeapUsedBytes: maxHeapBytes,
      // An infinite delay is the plugin's word for no sample at all: the machine did not let the process run, or it has
      // just started.
      pressureHandler: (request, _reply, _type, value) => {
        if (value === Number.POSITIVE_INFINITY || request.routeOptions.config.rateLimit === false) return;
        throw new WorkerError('RATE_LIMITED', 'The worker is overloaded', { retryAfterMs: 1000 });
      },
    });
  },
);
