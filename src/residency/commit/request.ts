import type { Digest } from '../../seal/digest.js';
import type { Expectation } from '../../seal/handle.js';
import type { FileSource, Shard } from '../state/shard.js';
import type { ShardIdentity, ShardSnapshot } from '../state/snapshot.js';

/** A shard that a client wants committed, and what it expects of it. */
export interface CommitRequest extends ShardIdentity {
  /** Its declared, exact length. */
  readonly vramBytes: number;
  /** Default: the reservation's, else by placement. */
  readonly gpuDevice?: number;
  readonly reservationId?: string;
  readonly expectedDigest?: Digest;
  readonly expectedTreeDigest?: Digest;
  /** Whether the serial SHA-256 is computed; only a client that expects a tree digest may do without. */
  readonly flatDigest: boolean;
  /** The file that it comes from, where it comes by reference. */
  readonly source?: FileSource;
  /** What the handle is to say that its client expected; default: what is expected here. */
  readonly expected?: Expectation;
}

export interface CommitResult {
  /** False where the shard was here already and its handle stands. */
  readonly created: boolean;
  readonly handle: string;
  readonly shard: ShardSnapshot;
}

export function expectationOf(request: CommitRequest): Expectation {
  if (request.expected !== undefined) return request.expected;
  if (request.expectedDigest !== undefined) return request.expectedTreeDigest === undefined ? 'sha256' : 'both';
  return request.expectedTreeDigest === undefined ? 'none' : 'tree';
}

/** How a request relates to the shard that has its id already. */
export type RetryMatch = 'same' | 'other' | 'unknown';

/**
 * Whether a commit repeats the one that made a sealed shard: by an expected digest where one is given that the seal has,
 * else unknown until the bytes have been read.
 */
export function matchRetry(record: Shard, request: CommitRequest): RetryMatch {
  const seal = record.seal;
  const { identity } = record;
  if (
    seal === undefined ||
    identity.modelRef !== request.modelRef ||
    identity.shardIndex !== request.shardIndex ||
    identity.totalShards !== request.totalShards ||
    record.vramBytes !== request.vramBytes ||
    (request.gpuDevice !== undefined && record.memory.gpuDevice !== request.gpuDevice)
  ) {
    return 'other';
  }
  const { expectedDigest, expectedTreeDigest } = request;
  if (expectedTreeDigest !== undefined && expectedTreeDigest !== seal.treeDigest) return 'other';
  if (expectedDigest !== undefined && seal.digest !== null && expectedDigest !== seal.digest) return 'other';
  if (expectedDigest !== undefined) return seal.digest === null ? 'unknown' : 'same';
  return expectedTreeDigest === undefined ? 'unknown' : 'same';
}
