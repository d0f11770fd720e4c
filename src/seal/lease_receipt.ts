import type { Digest } from './digest.js';
import { type JwsFault, type KeySource, signJws, verifyJws } from './jws.js';
import type { SealKey } from './key.js';

/** The process that was handed a shard, as the kernel identified it. */
export interface ReceiptPeer {
  readonly uid: number;
  readonly gid: number;
  /** Null if the process is in another pid namespace. */
  readonly pid: number | null;
}

/** The claims of a lease receipt, named as in the JWS payload. */
export interface ReceiptClaims {
  readonly iss: string;
  readonly boot_id: string;
  readonly jti: string;
  /** Seconds since the epoch (RFC 7519 §2). */
  readonly iat: number;
  readonly lease_id: string;
  /** The `jti` of the shard's handle when the shard was handed over. */
  readonly handle_jti: string;
  readonly shard_id: string;
  readonly tree_digest: Digest;
  readonly gpu_uuid: string;
  readonly peer: ReceiptPeer;
  /** The text that the client sent; null if it sent none. */
  readonly nonce: string | null;
  /** RFC 3339, UTC. */
  readonly last_verified_at: string;
}

export type ReceiptCheck =
  | { readonly ok: true; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly reason: JwsFault };

/** Signs the receipt of a lease: a compact JWS of type `vram-lease+jws`. It says what a process was handed, and when. */
export const signReceipt = (claims: ReceiptClaims, key: SealKey): string => signJws('vram-lease+jws', claims, key);

/** Verifies a receipt's signature and type. */
export const verifyReceipt = (receipt: string, keys: KeySource): ReceiptCheck =>
  verifyJws('vram-lease+jws', receipt, keys);
