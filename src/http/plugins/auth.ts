import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { networkOf } from '../server/network.js';
import { requestState } from '../server/request_state.js';
import { RateWindows } from './rate_windows.js';
import { digestOfToken, type Role, type Tokens } from './tokens.js';

export interface AuthOptions {
  readonly tokens: Tokens;
  /** Runs on each failure within the limit. `fingerprint` identifies the token without revealing it. */
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
const windowMs = 1000;
const bearer = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

/** The bearer token of a request, if its `Authorization` header has one. */
export const bearerTokenOf = ({ headers }: FastifyRequest): string | undefined =>
  bearer.exec(headers.authorization ?? '')?.[1];

/**
 * Checks bearer tokens (RFC 6750) when the head of a request has arrived. A request continues if its token is replaced
 * later. A route's `access` says who may call it; without `access` only operators may. A valid token always passes. Too
 * many invalid ones of one address are refused without an audit entry or a log line.
 */
export const auth = fp(async (app: FastifyInstance, { tokens, onFailure }: AuthOptions) => {
  const failures = new RateWindows();
  const errorOf = (request: FastifyRequest): WorkerError => {
    const { count, remainingMs } = failures.add(networkOf(request.ip), windowMs);
    if (count > failuresPerSecond) {
      request.isUnlogged = true;
      return new WorkerError('RATE_LIMITED', 'Too many failed authentications', { retryAfterMs: remainingMs });
    }
    onFailure(request.tokenFingerprint || 'none', request);
    return new WorkerError('AUTH_FAILED', 'The bearer token is missing or invalid: send Authorization: Bearer TOKEN');
  };

  app.decorateRequest('tokenFingerprint', '');
  app.decorateRequest('role', undefined);
  app.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config;
    const token = bearerTokenOf(request);
    if (token !== undefined) {
      const digest = digestOfToken(token);
      request.tokenFingerprint = digest.toString('hex', 0, 8);
      request.role = tokens.roleOf(digest);
      requestState(request.raw).isAuthenticated = request.role !== undefined;
    }
    if (access === 'public') return done();
    if (request.role === undefined) return done(errorOf(request));
    const isAllowed = request.role === 'operator' || access === 'read' || request.is404;
    done(isAllowed ? undefined : forbidden());
  });
});
