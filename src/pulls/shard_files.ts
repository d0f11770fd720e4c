import { WorkerError } from '../errors.js';
import { type HeldDigests, heldDigests } from '../residency/source/digest_rule.js';
import type { ModelFileEntry, ResolvedModel } from '../sources/model.js';
import type { FileToPull } from './pull_file.js';
import type { PullRequest } from './pull_request.js';

/** Shards of one model, as in all requests. */
const maxShards = 1024;

/** A file that becomes a shard: what the pull shows of it, and how it is read. */
export interface ShardFile {
  readonly file: FileToPull;
  readonly entry: ModelFileEntry;
  /** Who expects the digest. */
  readonly expectedBy: HeldDigests['expectedBy'];
}

/**
 * The shards of a pull, with the digest that each must have.
 * @throws WorkerError INVALID_PARAMS, SOURCE_UNSUPPORTED, SOURCE_FORBIDDEN, DIGEST_MISMATCH
 */
export function shardFilesOf(
  request: PullRequest,
  shards: readonly ModelFileEntry[],
  sourceRule: ResolvedModel['digestRule'],
): ShardFile[] {
  if (shards.length === 0) throw new WorkerError('SOURCE_UNSUPPORTED', 'The model has no files that are shards');
  if (shards.length > maxShards) {
    throw new WorkerError('SOURCE_UNSUPPORTED', `The model has ${shards.length} shards, more than ${maxShards}`);
  }
  requireKnownPaths(request, shards);
  return shards.map((entry, index) => {
    const { path, bytes } = entry;
    const held = heldOf(request, entry);
    const shardId = `${request.shardIdPrefix}-${index}`;
    const { expectedDigest } = held;
    const file = { path, shardId, bytes, expectedDigest, expectedTreeDigest: request.expectedTree.get(path) };
    requireDigest(request, file, sourceRule);
    return { file, entry, expectedBy: held.expectedBy };
  });
}

/** @throws WorkerError DIGEST_MISMATCH if the client and the source state different digests */
function heldOf({ expected, expectedTree, flatDigest }: PullRequest, entry: ModelFileEntry): HeldDigests {
  const [expectedDigest, expectedTreeDigest] = [expected.get(entry.path), expectedTree.get(entry.path)];
  const requested = {
    flatDigest,
    ...(expectedDigest && { expectedDigest }),
    ...(expectedTreeDigest && { expectedTreeDigest }),
  };
  try {
    return heldDigests(requested, entry, { digestRule: 'allow' });
  } catch (error) {
    throw error instanceof WorkerError ? new WorkerError(error.code, `${entry.path}: ${error.message}`) : error;
  }
}

function requireKnownPaths({ expected, expectedTree }: PullRequest, shards: readonly ModelFileEntry[]): void {
  const paths = new Set(shards.map(({ path }) => path));
  for (const path of [...expected.keys(), ...expectedTree.keys()]) {
    if (paths.has(path)) continue;
    throw new WorkerError('INVALID_PARAMS', `A digest is expected of ${path}, which is not a shard of the model`);
  }
}

/** @throws WorkerError INVALID_PARAMS, SOURCE_FORBIDDEN */
function requireDigest(
  { digest, flatDigest }: PullRequest,
  { path, expectedDigest, expectedTreeDigest }: FileToPull,
  sourceRule: ResolvedModel['digestRule'],
): void {
  if (expectedTreeDigest !== undefined) return;
  if (!flatDigest) throw new WorkerError('INVALID_PARAMS', `${path}: flat_digest is false without expected_tree`);
  if (expectedDigest !== undefined) return;
  if (digest === 'require') {
    const fix = 'set expected, or set digest to allow';
    throw new WorkerError('INVALID_PARAMS', `${path}: the source does not state a digest: ${fix}`);
  }
  if (sourceRule === 'allow') return;
  throw new WorkerError('SOURCE_FORBIDDEN', `${path}: the settings of the source require a digest: set expected`);
}
