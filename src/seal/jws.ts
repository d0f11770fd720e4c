import { createHmac, sign, timingSafeEqual, verify } from 'node:crypto';
import { parseJsonPart } from './json.js';
import type { SealKey, VerifyKey } from './key.js';

/** The `typ` of a JWS. It keeps a signature for one purpose from being accepted for another (RFC 8725 §3.11). */
export type JwsType = 'vram-seal+jws' | 'vram-attestation+jws' | 'vram-audit+jws' | 'vram-lease+jws';

export type JwsFault = 'malformed' | 'unknown_key' | 'signature';

export type JwsVerdict =
  | { readonly ok: true; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly reason: JwsFault };

/** A key to verify with, or a lookup by the header's `kid`. */
export type KeySource = VerifyKey | ((kid: string) => VerifyKey | undefined);

const algorithms: readonly unknown[] = ['HS256', 'EdDSA'] satisfies VerifyKey['alg'][];

const compact = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

/** Signs claims as a compact JWS (RFC 7515 §7.1). The key sets the algorithm (RFC 7518 §3.2, RFC 8037 §3.1). */
export const signJws = (type: JwsType, claims: object, key: SealKey): string =>
  signJwsPayload(type, Buffer.from(JSON.stringify(claims)), key);

/** Signs the JSON of claims, as `signJws`. */
export function signJwsPayload(type: JwsType, payload: Buffer, key: SealKey): string {
  const header = Buffer.from(JSON.stringify({ alg: key.alg, typ: type, kid: key.kid }));
  const input = `${header.toString('base64url')}.${payload.toString('base64url')}`;
  const signature = key.alg === 'HS256' ? mac(input, key.secret) : sign(null, Buffer.from(input), key.privateKey);
  return `${input}.${signature.toString('base64url')}`;
}

/**
 * Verifies a compact JWS of one type. The header must have exactly `alg`, `typ` and `kid`; any other parameter, such as
 * `crit`, is `malformed`. So is an `alg` that is not the key's (RFC 8725 §3.1). A `kid` without a key is `unknown_key`.
 * MACs are compared in constant time. The claims are parsed only after the signature is verified.
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

  const bytes = Buffer.from(signature, 'base64url');
  const canonical = bytes.toString('base64url') === signature;
  if (!canonical || !isSignature(bytes, `${header}.${payload}`, key)) return fault('signature');
  const claims = decode(payload);
  return claims === null ? fault('malformed') : { ok: true, claims };
}

const fault = (reason: JwsFault): JwsVerdict => ({ ok: false, reason });

function find(source: KeySource, kid: string): VerifyKey | undefined {
  if (typeof source === 'function') return source(kid);
  return source.kid === kid ? source : undefined;
}

function isSignature(signature: Buffer, input: string, key: VerifyKey): boolean {
  if (key.alg === 'EdDSA') return verify(null, Buffer.from(input), key.publicKey, signature);
  const expected = mac(input, key.secret);
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}

const mac = (input: string, secret: Buffer): Buffer => createHmac('sha256', secret).update(input).digest();

function decode(part: string): Record<string, unknown> | null {
  const value = parseJsonPart(part);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
}
