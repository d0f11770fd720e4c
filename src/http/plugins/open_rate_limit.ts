import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { networkOf } from '../server/network.js';
import { bearerTokenOf } from './auth.js';
import { RateWindows } from './rate_windows.js';
import { digestOfToken, type Tokens } from './tokens.js';

export interface OpenRateOptions {
  readonly tokens: Tokens;
  /** For each valid token. */
  readonly requestsPerSecond: number;
}

/** Requests to the open routes without a token, by all clients together and by one address or IPv6 /64 network. */
const openRequestsPerSecond = 200;
const openRequestsPerAddress = 100;

const windowMs = 1000;

/**
 * Limits the requests to the routes outside `/v1`, which need no token, and to unknown paths there. They share one limit.
 * Requests with a valid token count for the token instead. A route opts out with `rateLimit: false`.
 */
export const openRateLimit = fp(async (app: FastifyInstance, { tokens, requestsPerSecond }: OpenRateOptions) => {
  const windows = new RateWindows();
  const isAllowed = (request: FastifyRequest): boolean => {
    const token = bearerTokenOf(request);
    const digest = token === undefined ? undefined : digestOfToken(token);
    if (digest !== undefined && tokens.roleOf(digest) !== undefined) {
      return windows.add(`token ${digest.toString('hex')}`, windowMs).count <= requestsPerSecond;
    }
    // An address over its own limit does not use up the shared one.
    if (windows.add(networkOf(request.ip), windowMs).count > openRequestsPerAddress) return false;
    return windows.add('all', windowMs).count <= openRequestsPerSecond;
  };
  app.decorate('openRateError', (request: FastifyRequest): WorkerError | undefined => {
    if (isAllowed(request)) return undefined;
    const detail = 'Too many requests to routes without a token: retry later, or send a token';
    return new WorkerError('RATE_LIMITED', detail, { retryAfterMs: windowMs });
  });
  app.addHook('onRequest', (request, _reply, done) => {
    // Cheap for the routes that orchestrators poll. An encoded `/v1` takes the longer way.
    if (request.raw.url?.startsWith('/v1/') === true) return done();
    const { url = request.url, config } = request.routeOptions;
    done(config.rateLimit === false || url.startsWith('/v1') ? undefined : app.openRateError(request));
  });
});

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a request as one to an open route. The error RATE_LIMITED if there are too many. */
    openRateError(request: FastifyRequest): WorkerError | undefined;
  }
}
