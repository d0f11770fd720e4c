import { WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import type { ExpectedBy } from '../../seal/handle.js';
import type { ModelFileEntry, ResolvedModel } from '../../sources/model.js';

/** The digests of a request. */
export interface RequestedDigests {
  readonly expectedDigest?: Digest;
  readonly expectedTreeDigest?: Digest;
  readonly flatDigest: boolean;
}

/** The digest that a file is held to besides the tree digest of the client, and who stated the digests. */
export interface HeldDigests {
  readonly expectedDigest?: Digest;
  readonly expectedBy?: ExpectedBy;
}

/**
 * The digest of the client, or else the claim of the source. Decided before any byte of the file is read.
 * @throws WorkerError DIGEST_MISMATCH if both exist and differ, INVALID_PARAMS if the source requires one and none exists
 */
export function heldDigests(
  { expectedDigest, expectedTreeDigest, flatDigest }: RequestedDigests,
  { claim }: Pick<ModelFileEntry, 'claim'>,
  { digestRule = 'require' }: Pick<ResolvedModel, 'digestRule'>,
): HeldDigests {
  if (expectedDigest !== undefined && claim !== undefined && claim.digest !== expectedDigest) {
    throw new WorkerError('DIGEST_MISMATCH', `The source states the digest ${claim.digest}, not the expected one`);
  }
  // Without the serial SHA-256, the claim cannot be checked. The client then gave a tree digest.
  const digest = flatDigest ? (expectedDigest ?? claim?.digest) : undefined;
  const isByClient = expectedDigest !== undefined || expectedTreeDigest !== undefined;
  if (digest === undefined && !isByClient && digestRule === 'require') {
    throw new WorkerError(
      'INVALID_PARAMS',
      'expected_digest is missing: the source does not state a digest of the file',
    );
  }
  if (digest === undefined) return isByClient ? { expectedBy: 'client' } : {};
  return { expectedDigest: digest, expectedBy: isByClient ? 'client' : 'source' };
}
