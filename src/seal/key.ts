import { createHmac, createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';
import { thumbprint } from './thumbprint.js';

/** The signature algorithms of handles, as the setting names them. */
export const sealAlgorithms = ['HS256', 'Ed25519'] as const;
export type SealAlgorithm = (typeof sealAlgorithms)[number];

/** A symmetric key. Anyone who has it can verify and sign. */
export interface SharedKey {
  readonly alg: 'HS256';
  /** The first 8 bytes, in hex, of HMAC-SHA256(secret, "kid"). */
  readonly kid: string;
  readonly secret: Buffer;
}

/** The public half of a key pair. It can verify, and cannot sign. */
export interface PublicKey {
  readonly alg: 'EdDSA';
  /** The JWK thumbprint (RFC 7638). */
  readonly kid: string;
  readonly publicKey: KeyObject;
}

export interface PrivateKey extends PublicKey {
  readonly privateKey: KeyObject;
}

/** A key that signs. `alg` is part of the key, so that no input selects the algorithm. */
export type SealKey = SharedKey | PrivateKey;

/** A key that verifies. */
export type VerifyKey = SharedKey | PublicKey;

/** The shortest accepted secret. */
export const minimumSecretBytes = 32;

/**
 * Derives a worker's seal key from a shared secret: HKDF-SHA256 (RFC 5869), salt `vram-residency/seal/v1`, info =
 * worker id, 32 bytes. Anyone with the secret can derive it too.
 */
export function deriveSealKey(secret: Uint8Array, workerId: string): SharedKey {
  const key = Buffer.from(hkdfSync('sha256', secret, 'vram-residency/seal/v1', workerId, 32));
  const kid = createHmac('sha256', key).update('kid').digest().subarray(0, 8).toString('hex');
  return { alg: 'HS256', kid, secret: key };
}

/**
 * Reads an Ed25519 key pair (RFC 8032) from PKCS#8, PEM or DER (RFC 5958, RFC 8410).
 * @throws TypeError, whose message shows none of the bytes
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
 * Reads an Ed25519 public key from SubjectPublicKeyInfo, PEM or DER (RFC 5280 §4.1, RFC 8410).
 * @throws TypeError, also for a private key
 */
export function readPublicKey(bytes: Uint8Array): PublicKey {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pem = key.includes('-----BEGIN PUBLIC KEY-----');
  const publicKey = parsed(() => createPublicKey(pem ? { key, format: 'pem' } : { key, format: 'der', type: 'spki' }));
  if (publicKey?.asymmetricKeyType !== 'ed25519') throw new TypeError('not an Ed25519 public key');
  return { alg: 'EdDSA', kid: thumbprint(publicKey), publicKey };
}

/** Makes the seal key from the content of its file. @throws TypeError if the bytes are not an Ed25519 private key */
export const sealKeyOf = (algorithm: SealAlgorithm, bytes: Uint8Array, workerId: string): SealKey =>
  algorithm === 'Ed25519' ? readPrivateKey(bytes) : deriveSealKey(bytes, workerId);

/** Overwrites a shared secret with zeros. OpenSSL holds a private key, and wipes it when it frees the key. */
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
