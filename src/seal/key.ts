import { createHmac, createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';
import { thumbprint } from './jwk.js';

/** How handles are signed, by the setting's word. */
export const sealAlgorithms = ['HS256', 'Ed25519'] as const;
export type SealAlgorithm = (typeof sealAlgorithms)[number];

/** Signs and verifies: whoever holds it can do both. */
export interface SharedKey {
  readonly alg: 'HS256';
  /** First 8 bytes, hex, of HMAC-SHA256(key, "kid"). */
  readonly kid: string;
  readonly secret: Buffer;
}

/** Verifies, and can not sign. */
export interface PublicKey {
  readonly alg: 'EdDSA';
  /** The thumbprint of the public key (RFC 7638). */
  readonly kid: string;
  readonly publicKey: KeyObject;
}

export interface PrivateKey extends PublicKey {
  readonly privateKey: KeyObject;
}

/** A key that signs handles, and the name by which a handle says which key that was. Its algorithm is part of it. */
export type SealKey = SharedKey | PrivateKey;

/** A key that handles are checked with. */
export type VerifyKey = SharedKey | PublicKey;

/** Fewer bytes than this are no secret. */
export const minimumSecretBytes = 32;

/**
 * Derives the seal key of one worker from the shared secret: HKDF-SHA256 (RFC 5869), salt `vram-residency/seal/v1`,
 * info = worker id, 32 bytes. Who holds the secret can derive it too, and verify offline.
 */
export function deriveSealKey(secret: Uint8Array, workerId: string): SharedKey {
  const key = Buffer.from(hkdfSync('sha256', secret, 'vram-residency/seal/v1', workerId, 32));
  const kid = createHmac('sha256', key).update('kid').digest().subarray(0, 8).toString('hex');
  return { alg: 'HS256', kid, secret: key };
}

/**
 * The Ed25519 key pair (RFC 8032) in a PKCS#8 file, PEM or DER (RFC 5958, RFC 8410).
 * @throws TypeError, which shows nothing of the bytes
 */
export function readPrivateKey(bytes: Uint8Array): PrivateKey {
  const pem = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64)).includes('-----BEGIN ');
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const privateKey = parsed(() =>
    createPrivateKey(pem ? { key, format: 'pem' } : { key, format: 'der', type: 'pkcs8' }),
  );
  if (privateKey?.asymmetricKeyType !== 'ed25519') throw new TypeError('not an Ed25519 private key in PKCS#8');
  const publicKey = createPublicKey(privateKey);
  return { alg: 'EdDSA', kid: thumbprint(publicKey), publicKey, privateKey };
}

/**
 * The public half of such a pair as others are given it: SubjectPublicKeyInfo, PEM or DER (RFC 5280, RFC 8410).
 * @throws TypeError, also for a private key
 */
export function readPublicKey(bytes: Uint8Array): PublicKey {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pem = key.includes('-----BEGIN PUBLIC KEY-----');
  const publicKey = parsed(() => createPublicKey(pem ? { key, format: 'pem' } : { key, format: 'der', type: 'spki' }));
  if (publicKey?.asymmetricKeyType !== 'ed25519') throw new TypeError('not an Ed25519 public key');
  return { alg: 'EdDSA', kid: thumbprint(publicKey), publicKey };
}

/** The key that the bytes of a seal key's file stand for. @throws TypeError where they are no key of the algorithm */
export const sealKeyOf = (algorithm: SealAlgorithm, bytes: Uint8Array, workerId: string): SealKey =>
  algorithm === 'Ed25519' ? readPrivateKey(bytes) : deriveSealKey(bytes, workerId);

/** Overwrites what can be overwritten. A private key lies in OpenSSL's memory, which wipes it when it is freed. */
export function wipeKey(key: SealKey): void {
  if (key.alg === 'HS256') key.secret.fill(0);
}

function parsed(parse: () => KeyObject): KeyObject | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
