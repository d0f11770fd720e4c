import type { Credential } from './request.js';
import type { Secret } from './secret.js';

/** A bearer token (RFC 6750) for one origin. */
export const bearerOf = (origin: string, token: Secret): Credential => ({
  origin,
  headersFor: () => ({ Authorization: `Bearer ${token.reveal()}` }),
});
