import type { Digest } from '../../seal/digest.js';
import type { Expectation, ExpectedBy } from '../../seal/handle.js';
import type { SourceReference } from '../../sources/reference.js';
import type { Shard } from '../state/shard.js';
import type { ShardIdentity, ShardSnapshot } from '../state/snapshot.js';

/** A shard to commit, and the digests that its client expects. */
export interface CommitRequest extends ShardIdentity {
  /** The declared, exact length. */
  readonly vramBytes: number;
  /** Default: the device of the reservation, else by placement. */
  readonly gpuDevice?: number;
  readonly reservationId?: string;
  readonly expectedDigest?: Digest;
  readonly expectedTreeDigest?: Digest;
  /** False skips the serial SHA-256. Only a client that expects a tree digest may set it. */
  readonly flatDigest: boolean;
  /** Whether other processes may attach the shard. Default: if the worker and the device can share memory. */
  readonly exportable?: boolean;
  /** The file of a commit by reference, if a manifest may name it. */
  readonly source?: SourceReference;
  /** Who stated the expected digests of a commit by reference. */
  readonly expectedBy?: ExpectedBy;
  /** The value of the claim `expected`. Default: which digests this request expects. */
  readonly expected?: Expectation;
}

/** A request after its admission, which decides what it left open. */
export type AdmittedRequest = CommitRequest & Required<Pick<CommitRequest, 'exportable'>>;

export interface CommitResult {
  /** False if the same shard was already sealed: its current handle is returned. */
  readonly created: boolean;
  readonly handle: string;
  readonly shard: ShardSnapshot;
}

/** The value of the claim `expected`. */
export function expectationOf(request: CommitRequest): Expectation {
  if (request.expected !== undefined) return request.expected;
  if (request.expectedDigest !== undefined) return request.expectedTreeDigest === undefined ? 'sha256' : 'both';
  return request.expectedTreeDigest === undefined ? 'none' : 'tree';
}

/** Whether a request repeats the commit of an existing shard. Undetermined: only the bytes can tell. */
export type RetryMatch = 'identical' | 'conflict' | 'undetermined';

/** Compares a request with an existing shard: its claims, and the expected digest if the seal has that digest. */
export function matchRetry(shard: Shard, request: AdmittedRequest): RetryMatch {
  const { seal, identity } = shard;
  if (
    seal === undefined ||
    identity.modelRef !== request.modelRef ||
    identity.shardIndex !== request.shardIndex ||
    identity.totalShards !== request.totalShards ||
    shard.vramBytes !== request.vramBytes ||
    shard.exportable !== request.exportable ||
    (request.gpuDevice !== undefined && shard.memory.gpuDevice !== request.gpuDevice)
  ) {
    return 'conflict';
  }
  const { expectedDigest, expectedTreeDigest } = request;
  if (expectedTreeDigest !== undefined && expectedTreeDigest !== seal.treeDigest) return 'conflict';
  if (expectedDigest !== undefined && seal.digest !== null && expectedDigest !== seal.digest) return 'conflict';
  if (expectedDigest !== undefined) return seal.digest === null ? 'undetermined' : 'identical';
  return expectedTreeDigest === undefined ? 'undetermined' : 'identical';
}

/** The result for a sealed shard. */
export function resultOf(shard: Shard, handle: string, created: boolean): CommitResult {
  return { created, handle, shard: shard.snapshot() };
}
