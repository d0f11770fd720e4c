import { createHmac, hkdfSync } from 'node:crypto';

/** A key that signs handles, and the name by which a handle says which key that was. */
export interface SealKey {
  readonly secret: Buffer;
  /** First 8 bytes, hex, of HMAC-SHA256(key, "kid"). */
  readonly kid: string;
}

/** Fewer bytes than this are no secret. */
export const minimumSecretBytes = 32;

/**
 * Derives the seal key of one worker from the shared secret: HKDF-SHA256 (RFC 5869), salt `vram-residency/seal/v1`,
 * info = worker id, 32 bytes. Who holds the secret can derive it too, and verify offline.
 */
export function deriveSealKey(secret: Uint8Array, workerId: string): SealKey {
  const key = Buffer.from(hkdfSync('sha256', secret, 'vram-residency/seal/v1', workerId, 32));
  const kid = createHmac('sha256', key).update('kid').digest().subarray(0, 8).toString('hex');
  return { secret: key, kid };
}
