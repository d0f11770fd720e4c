import type { Digest } from '../../seal/digest.js';

/** The identity that a client declares for a shard. Validated before it reaches this layer. */
export interface ShardIdentity {
  readonly shardId: string;
  readonly modelRef: string;
  readonly shardIndex: number;
  readonly totalShards: number;
}

export const shardStates = ['receiving', 'sealing', 'sealed', 'corrupt', 'releasing'] as const;
export type ShardState = (typeof shardStates)[number];

/** A range of damaged bytes, in units of 512 KiB. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A shard at one moment, as a plain value. Times are milliseconds since the epoch. */
export interface ShardSnapshot extends ShardIdentity {
  readonly gpuDevice: number;
  readonly gpuUuid: string;
  readonly vramBytes: number;
  readonly receivedBytes: number;
  readonly state: ShardState;
  /** Null until the shard is sealed, and if the client set `flat_digest=false`. */
  readonly digest: Digest | null;
  readonly treeDigest: Digest | null;
  readonly sealedAtMs: number | null;
  readonly lastVerifiedAtMs: number | null;
  readonly corruptRanges: readonly ByteRange[];
}
