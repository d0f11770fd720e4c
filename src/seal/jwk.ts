import { createPublicKey, type KeyObject } from 'node:crypto';
import { parseJson } from './json.js';
import type { PublicKey } from './key.js';
import { pointOf, thumbprint } from './thumbprint.js';

/** An Ed25519 public key as a JSON Web Key (RFC 7517 §4, RFC 8037 §2). */
export interface PublicJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  readonly kid: string;
  readonly use: 'sig';
  readonly alg: 'EdDSA';
}

/** An Ed25519 key as a JWK (RFC 8037). */
export const jwkOf = ({ kid, publicKey }: PublicKey): PublicJwk => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: pointOf(publicKey),
  kid,
  use: 'sig',
  alg: 'EdDSA',
});

/**
 * Reads the Ed25519 signature keys of a JWK set. Other keys are ignored, as RFC 7517 §5 recommends. The `kid` of a
 * result is the key's thumbprint, even if the set has another `kid`. @throws TypeError if the text is not a JWK set
 */
export function readJwks(text: string): PublicKey[] {
  const set: unknown = parseJson(text);
  const keys: unknown = isRecord(set) ? set.keys : undefined;
  if (!Array.isArray(keys)) throw new TypeError('not a JWK set');
  return keys.flatMap((jwk: unknown) => {
    if (!isRecord(jwk) || jwk.kty !== 'OKP' || jwk.crv !== 'Ed25519' || typeof jwk.x !== 'string') return [];
    if ((jwk.use ?? 'sig') !== 'sig' || !algorithms.includes(jwk.alg)) return [];
    const publicKey = importPoint(jwk.x);
    return publicKey === undefined ? [] : [{ alg: 'EdDSA', kid: thumbprint(publicKey), publicKey }];
  });
}

/** The `alg` values of an Ed25519 key: absent, the name of RFC 8037 §3.1, or that of RFC 9864 §2.2. */
const algorithms: readonly unknown[] = [undefined, 'EdDSA', 'Ed25519'];

function importPoint(x: string): KeyObject | undefined {
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
