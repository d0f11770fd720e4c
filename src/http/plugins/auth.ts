import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { digestOfToken, type Role, type Tokens } from './tokens.js';

export interface AuthOptions {
  readonly credentials: Tokens;
  /** Called for each failure. `fingerprint` names the token without giving it away. */
  readonly onFailure: (fingerprint: string, request: FastifyRequest) => void;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Names the caller's token in limits and in the audit log; empty where there is none. */
    tokenFingerprint: string;
    /** What the caller's token may do; undefined on open routes. */
    role: Role | undefined;
  }
}

/** What a token that may only look is told. */
export const forbidden = (): WorkerError => new WorkerError('FORBIDDEN', 'This token may look, and change nothing');

const failuresPerSecond = 10;
const bearer = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

/**
 * Bearer tokens (RFC 6750), looked at when the head of a request is there: one whose token is replaced later goes on. A
 * route says whom it lets in by its `access`; one that says nothing lets in operators alone. Needs the rate limit to be
 * registered before it.
 */
export const auth = fp(async (app: FastifyInstance, { credentials, onFailure }: AuthOptions) => {
  const failures = app.createRateLimit({
    max: failuresPerSecond,
    timeWindow: 1000,
    keyGenerator: (request) => request.ip,
  });

  const fail = async (request: FastifyRequest, fingerprint: string): Promise<never> => {
    onFailure(fingerprint, request);
    const limit = await failures(request);
    if (!limit.isAllowed && limit.isExceeded) {
      throw new WorkerError('RATE_LIMITED', 'Too many failed authentications', { retryAfterMs: limit.ttl });
    }
    throw new WorkerError('AUTH_FAILED', 'The Authorization header holds no valid bearer token');
  };

  const identify = (request: FastifyRequest, token: string): Role | undefined => {
    const digest = digestOfToken(token);
    request.tokenFingerprint = digest.toString('hex', 0, 8);
    return credentials.roleOf(digest);
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
    const allowed = role === 'operator' || access === 'read' || request.is404;
    done(allowed ? undefined : forbidden());
  });
});
