import assert from 'node:assert/strict';
import { createHmac, hkdfSync } from 'node:crypto';

/**
 * Verifies a handle with only the secret: HMAC-SHA256 over a compact JWS (RFC 7515), with a key from HKDF-SHA256
 * (RFC 5869). Throws if the signature or a claim differs.
 * @param {string} handle @param {string} secret @param {string} workerId @param {Record<string, unknown>} expected
 */
export function checkHandle(handle, secret, workerId, expected) {
  const [header, claims, signature] = handle.split('.');
  const key = Buffer.from(hkdfSync('sha256', secret, 'vram-residency/seal/v1', workerId, 32));
  assert.equal(signature, createHmac('sha256', key).update(`${header}.${claims}`).digest('base64url'), 'signature');
  const actual = JSON.parse(Buffer.from(claims ?? '', 'base64url').toString());
  for (const [claim, value] of Object.entries(expected)) assert.equal(actual[claim], value, `claim ${claim}`);
}
