import { createHmac, sign, timingSafeEqual, verify } from 'node:crypto';
import type { SealKey, VerifyKey } from './key.js';

/** What a signed string may be: `typ` keeps each from passing for another. */
export type JwsType = 'vram-seal+jws' | 'vram-attestation+jws' | 'vram-audit+jws';

export type JwsFault = 'malformed' | 'unknown_key' | 'signature';

export type JwsVerdict =
  | { readonly ok: true; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly reason: JwsFault };

/** The key to verify with: one, or whichever has the name that a header gives. */
export type KeySource = VerifyKey | ((kid: string) => VerifyKey | undefined);

const algorithms: readonly unknown[] = ['HS256', 'EdDSA'] satisfies VerifyKey['alg'][];

const compact = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

/** Signs claims as a compact JWS (RFC 7515). The algorithm is the key's (RFC 7518 §3.2, RFC 8037 §3.1). */
export function signJws(type: JwsType, claims: object, key: SealKey): string {
  const header = encode({ alg: key.alg, typ: type, kid: key.kid });
  const input = `${header}.${encode(claims)}`;
  const signature = key.alg === 'HS256' ? mac(input, key.secret) : sign(null, Buffer.from(input), key.privateKey);
  return `${input}.${signature.toString('base64url')}`;
}

/**
 * Verifies a compact JWS of one type. The header must be exactly ours: another `typ`, `crit` or any parameter that we do
 * not write is malformed; a `kid` that names none of our keys is an unknown key. The key says which algorithm it is for,
 * and a header that says another is malformed: no input chooses how it is checked. Compares in constant time, and parses
 * the claims only once the signature held.
 */
export function verifyJws(type: JwsType, text: string, source: KeySource): JwsVerdict {
  const [, header, payload, signature] = compact.exec(text) ?? [];
  if (header === undefined || payload === undefined || signature === undefined) return fault('malformed');
  const parameters = decode(header);
  if (parameters === null || parameters.typ !== type || !algorithms.includes(parameters.alg)) return fault('malformed');
  if (typeof parameters.kid !== 'string' || Object.keys(parameters).length !== 3) return fault('malformed');
  const key = find(source, parameters.kid);
  if (key === undefined) return fault('unknown_key');
  if (parameters.alg !== key.alg) return fault('malformed');

  const given = Buffer.from(signature, 'base64url');
  const canonical = given.toString('base64url') === signature;
  if (!canonical || !isSignature(given, `${header}.${payload}`, key)) return fault('signature');
  const claims = decode(payload);
  return claims === null ? fault('malformed') : { ok: true, claims };
}

const fault = (reason: JwsFault): JwsVerdict => ({ ok: false, reason });

function find(source: KeySource, kid: string): VerifyKey | undefined {
  if (typeof source === 'function') return source(kid);
  return source.kid === kid ? source : undefined;
}

function isSignature(given: Buffer, input: string, key: VerifyKey): boolean {
  if (key.alg === 'EdDSA') return verify(null, Buffer.from(input), key.publicKey, given);
  const expected = mac(input, key.secret);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const mac = (input: string, secret: Buffer): Buffer => createHmac('sha256', secret).update(input).digest();

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function decode(part: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}
