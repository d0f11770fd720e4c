import { WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import type { ExpectedBy } from '../../seal/handle.js';
import type { ModelFileEntry, ResolvedModel } from '../../sources/model.js';

/** The digests of a request. */
export interface RequestedDigests {
  readonly expectedDigest?: Digest | undefined;
  readonly expectedTreeDigest?: Digest | undefined;
  readonly flatDigest: boolean;
  /** Whether the client accepts a file without a digest. A commit does not say, and accepts what its source does. */
  readonly digest?: 'require' | 'allow';
}

/** The digest that a file is held to besides the tree digest of the client, and who stated the digests. */
export interface HeldDigests {
  readonly expectedDigest?: Digest;
  readonly expectedBy?: ExpectedBy;
}

/**
 * The digest of the client, or else the claim of the source. Decided before any byte of the file is read.
 * @throws WorkerError DIGEST_MISMATCH if both exist and differ. If none exists: INVALID_PARAMS if the client requires one,
 * or does not say, and SOURCE_FORBIDDEN if only the source requires one
 */
export function heldDigests(
  requested: RequestedDigests,
  { claim }: Pick<ModelFileEntry, 'claim'>,
  { digestRule = 'require' }: Pick<ResolvedModel, 'digestRule'>,
): HeldDigests {
  const { expectedDigest, expectedTreeDigest, flatDigest } = requested;
  if (expectedDigest !== undefined && claim !== undefined && claim.digest !== expectedDigest) {
    throw new WorkerError('DIGEST_MISMATCH', `The source states the digest ${claim.digest}, not the expected one`);
  }
  // Without the serial SHA-256, only the tree digest of the client can be checked.
  const digest = flatDigest ? (expectedDigest ?? claim?.digest) : undefined;
  if (digest === undefined && expectedTreeDigest === undefined) {
    if (!flatDigest) throw new WorkerError('INVALID_PARAMS', 'flat_digest is false without an expected tree digest');
    requireNone(requested.digest, digestRule);
  }
  const isByClient = expectedDigest !== undefined || expectedTreeDigest !== undefined;
  if (digest === undefined) return isByClient ? { expectedBy: 'client' } : {};
  return { expectedDigest: digest, expectedBy: isByClient ? 'client' : 'source' };
}

/** @throws WorkerError INVALID_PARAMS, SOURCE_FORBIDDEN, unless the file needs no digest */
function requireNone(ofClient: RequestedDigests['digest'], ofSource: 'require' | 'allow'): void {
  if ((ofClient ?? ofSource) === 'require') {
    const fix = ofClient === undefined ? 'set expected_digest' : 'set expected, or set digest to allow';
    throw new WorkerError('INVALID_PARAMS', `The source does not state a digest of the file: ${fix}`);
  }
  if (ofSource === 'allow') return;
  throw new WorkerError(
    'SOURCE_FORBIDDEN',
    'The settings of the source require a digest: set expected, or digest in WORKER_SOURCES_FILE',
  );
}
