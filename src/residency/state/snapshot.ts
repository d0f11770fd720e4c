import type { Digest } from '../../seal/digest.js';

/** What the client says about the shard it commits. All of it is validated before it gets here. */
export interface ShardIdentity {
  readonly shardId: string;
  readonly modelRef: string;
  readonly shardIndex: number;
  readonly totalShards: number;
}

export const shardStates = ['receiving', 'sealing', 'sealed', 'corrupt', 'releasing'] as const;
export type ShardState = (typeof shardStates)[number];

/** A run of damaged bytes, to 512 KiB. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A shard as others see it at one moment: a plain value, safe to keep. Times are milliseconds since the epoch. */
export interface ShardSnapshot extends ShardIdentity {
  readonly gpuDevice: number;
  readonly gpuUuid: string;
  readonly vramBytes: number;
  readonly receivedBytes: number;
  readonly state: ShardState;
  /** Null where the flat digest was not wanted, and until the shard is sealed. */
  readonly digest: Digest | null;
  readonly treeDigest: Digest | null;
  readonly sealedAtMs: number | null;
  readonly lastVerifiedAtMs: number | null;
  readonly corruptRanges: readonly ByteRange[];
}

/** Why a shard is not verified, the first that holds; `corrupt`: its bytes are right now, but it was found damaged and not repaired since. */
export const verifyFaults = ['signature', 'residency', 'damaged', 'corrupt'] as const;
export type VerifyFault = (typeof verifyFaults)[number];

/** What a verification found. `bytes` were digested on the device in `durationMs`. */
export interface VerifyReport {
  readonly shardId: string;
  readonly verified: boolean;
  readonly reason: VerifyFault | null;
  readonly checks: { readonly signature: boolean; readonly residency: boolean; readonly treeDigest: boolean };
  readonly bytes: number;
  readonly durationMs: number;
  readonly corruptRanges: readonly ByteRange[];
}
