import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { requestState } from '../server/request_state.js';
import { digestOfToken, type Role, type Tokens } from './tokens.js';

export interface AuthOptions {
  readonly tokens: Tokens;
  /** Runs on each failure. `fingerprint` identifies the token without revealing it. */
  readonly onFailure: (fingerprint: string, request: FastifyRequest) => void;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Identifies the caller's token in rate limits and in the audit log. Empty without a token. */
    tokenFingerprint: string;
    /** The permissions of the caller's token. Undefined on public routes without a valid token. */
    role: Role | undefined;
  }
}

/** The error for a read-only token on a route that changes state. */
export const forbidden = (): WorkerError =>
  new WorkerError('FORBIDDEN', 'The token is read-only: this request needs the API token');

const failuresPerSecond = 10;
const bearer = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

/**
 * Checks bearer tokens (RFC 6750) when the head of a request has arrived. A request continues if its token is replaced
 * later. A route's `access` says who may call it; without `access` only operators may. Register the rate limit first.
 */
export const auth = fp(async (app: FastifyInstance, { tokens, onFailure }: AuthOptions) => {
  const fail = failureHandler(app, onFailure);
  const identify = (request: FastifyRequest, token: string): Role | undefined => {
    const digest = digestOfToken(token);
    request.tokenFingerprint = digest.toString('hex', 0, 8);
    const role = tokens.roleOf(digest);
    requestState(request.raw).isAuthenticated = role !== undefined;
    return role;
  };

  app.decorateRequest('tokenFingerprint', '');
  app.decorateRequest('role', undefined);
  app.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config;
    const token = bearer.exec(request.headers.authorization ?? '')?.[1];
    if (access === 'public') {
      if (token !== undefined) request.role = identify(request, token);
      return done();
    }
    if (token === undefined) return void fail(request, 'none').catch(done);
    const role = identify(request, token);
    if (role === undefined) return void fail(request, request.tokenFingerprint).catch(done);
    request.role = role;
    const isAllowed = role === 'operator' || access === 'read' || request.is404;
    done(isAllowed ? undefined : forbidden());
  });
});

/** Rejects with AUTH_FAILED, or with RATE_LIMITED after too many failures from one address. */
function failureHandler(app: FastifyInstance, onFailure: AuthOptions['onFailure']) {
  const countFailure = app.createRateLimit({
    max: failuresPerSecond,
    timeWindow: 1000,
    keyGenerator: (request) => request.ip,
  });
  return async (request: FastifyRequest, fingerprint: string): Promise<never> => {
    onFailure(fingerprint, request);
    const limit = await countFailure(request);
    if (!limit.isAllowed && limit.isExceeded) {
      throw new WorkerError('RATE_LIMITED', 'Too many failed authentications', { retryAfterMs: limit.ttl });
    }
    throw new WorkerError('AUTH_FAILED', 'The Authorization header has no valid bearer token');
  };
}
