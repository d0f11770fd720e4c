import type { ByteRange } from './snapshot.js';

/**
 * Why a verification failed: the first of these checks that did not pass. `damaged` means that the bytes differ now.
 * `corrupt` means that the bytes are correct now, but earlier damage was not repaired.
 */
export const verifyFaults = ['signature', 'residency', 'damaged', 'corrupt'] as const;
export type VerifyFault = (typeof verifyFaults)[number];

/** The result of one verification: `bytes` were digested on the device in `durationMs`. */
export interface VerifyReport {
  readonly shardId: string;
  readonly verified: boolean;
  readonly reason: VerifyFault | null;
  readonly checks: { readonly signature: boolean; readonly residency: boolean; readonly treeDigest: boolean };
  readonly bytes: number;
  readonly durationMs: number;
  readonly corruptRanges: readonly ByteRange[];
}
