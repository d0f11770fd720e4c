import type { Digest } from '../../seal/digest.js';
import type { ByteRange } from '../../vram/slices.js';

export type { ByteRange };

/** The identity that a client declares for a shard. Validated before it reaches this layer. */
export interface ShardIdentity {
  readonly shardId: string;
  readonly modelRef: string;
  readonly shardIndex: number;
  readonly totalShards: number;
}

export const shardStates = ['receiving', 'sealing', 'sealed', 'corrupt', 'releasing'] as const;
export type ShardState = (typeof shardStates)[number];

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
  /** Whether the memory can be handed over to other processes, and when it first was. */
  readonly exportable: boolean;
  readonly exportedAtMs: number | null;
  /** Leases of other processes. */
  readonly leases: number;
  /** Whether a keeper holds the memory. */
  readonly kept: boolean;
  /** The pinned reference that it is repaired and restored from, as text; null if it is neither. */
  readonly source: string | null;
  /** In units of 512 KiB. */
  readonly corruptRanges: readonly ByteRange[];
}
