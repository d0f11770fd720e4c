import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SealKey } from './key.js';

/** What a signed string may be: `typ` keeps each from passing for another. */
export type JwsType = 'vram-seal+jws' | 'vram-attestation+jws' | 'vram-audit+jws';

export type JwsFault = 'malformed' | 'unknown_key' | 'signature';

export type JwsVerdict =
  | { readonly ok: true; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly reason: JwsFault };

const compact = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

/** Signs claims as a compact JWS (RFC 7515). The algorithm is HS256, fixed here and nowhere read from input. */
export function signJws(type: JwsType, claims: object, key: SealKey): string {
  const header = encode({ alg: 'HS256', typ: type, kid: key.kid });
  const input = `${header}.${encode(claims)}`;
  return `${input}.${mac(input, key).toString('base64url')}`;
}

/**
 * Verifies a compact JWS of one type. The header must be exactly ours: another `alg`, another `typ`, `crit` or any
 * parameter that we do not write is malformed; another `kid` is an unknown key. Compares in constant time, and parses
 * the claims only once the signature held.
 */
export function verifyJws(type: JwsType, text: string, key: SealKey): JwsVerdict {
  const [, header, payload, signature] = compact.exec(text) ?? [];
  if (header === undefined || payload === undefined || signature === undefined) return fault('malformed');
  const parameters = decode(header);
  if (parameters === null || parameters.alg !== 'HS256' || parameters.typ !== type) return fault('malformed');
  if (typeof parameters.kid !== 'string' || Object.keys(parameters).length !== 3) return fault('malformed');
  if (parameters.kid !== key.kid) return fault('unknown_key');

  const given = Buffer.from(signature, 'base64url');
  const expected = mac(`${header}.${payload}`, key);
  const canonical = given.toString('base64url') === signature;
  if (!canonical || given.length !== expected.length || !timingSafeEqual(given, expected)) return fault('signature');
  const claims = decode(payload);
  return claims === null ? fault('malformed') : { ok: true, claims };
}

const fault = (reason: JwsFault): JwsVerdict => ({ ok: false, reason });

const mac = (input: string, key: SealKey): Buffer => createHmac('sha256', key.secret).update(input).digest();

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function decode(part: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}
