import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { PublicKey } from './key.js';

/** A public key as verifiers take it: RFC 7517, RFC 8037. */
export interface PublicJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  readonly kid: string;
  readonly use: 'sig';
  readonly alg: 'EdDSA';
}

/** The name of an Ed25519 public key: SHA-256 over its required members, in their order (RFC 7638, RFC 8037 §2). */
export function thumbprint(publicKey: KeyObject): string {
  const members = JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x: pointOf(publicKey) });
  return createHash('sha256').update(members).digest('base64url');
}

export const jwkOf = ({ kid, publicKey }: PublicKey): PublicJwk => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: pointOf(publicKey),
  kid,
  use: 'sig',
  alg: 'EdDSA',
});

/**
 * The Ed25519 keys of a JWK set. Keys of other kinds, for other uses or of another algorithm are passed over, as RFC 7517
 * §5 has it. A key goes by its own thumbprint, whatever `kid` the set gives it. @throws TypeError where it is no JWK set
 */
export function readJwks(text: string): PublicKey[] {
  const set: unknown = parse(text);
  const keys: unknown = isRecord(set) ? set.keys : undefined;
  if (!Array.isArray(keys)) throw new TypeError('not a JWK set');
  return keys.flatMap((jwk: unknown) => {
    if (!isRecord(jwk) || jwk.kty !== 'OKP' || jwk.crv !== 'Ed25519' || typeof jwk.x !== 'string') return [];
    if ((jwk.use ?? 'sig') !== 'sig' || !algorithms.includes(jwk.alg)) return [];
    const publicKey = importPoint(jwk.x);
    return publicKey === undefined ? [] : [{ alg: 'EdDSA', kid: thumbprint(publicKey), publicKey }];
  });
}

/** What a set may say of the algorithm: nothing, RFC 8037's name, or RFC 9864's. */
const algorithms: readonly unknown[] = [undefined, 'EdDSA', 'Ed25519'];

const pointOf = (publicKey: KeyObject): string => publicKey.export({ format: 'jwk' }).x ?? '';

function importPoint(x: string): KeyObject | undefined {
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
