import { createHash, type KeyObject } from 'node:crypto';

/** The `x` member of an Ed25519 public key's JWK: its 32 bytes in base64url (RFC 8037 §2). */
export const pointOf = (publicKey: KeyObject): string => publicKey.export({ format: 'jwk' }).x ?? '';

/** The JWK thumbprint of an Ed25519 public key: SHA-256 in base64url (RFC 7638 §3, RFC 8037 appendix A.3). */
export function thumbprint(publicKey: KeyObject): string {
  // RFC 7638 §3.2: the required members only, in lexicographic order.
  const members = JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x: pointOf(publicKey) });
  return createHash('sha256').update(members).digest('base64url');
}
