import { WorkerError } from '../errors.js';
import { maxShards } from '../residency/limits.js';
import { type HeldDigests, heldDigests } from '../residency/source/digest_rule.js';
import type { ModelFileEntry, ResolvedModel } from '../sources/model.js';
import type { FileToPull } from './pull_file.js';
import type { PullRequest } from './pull_request.js';

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
    const expectedTreeDigest = request.expectedTree.get(path);
    const { expectedDigest, expectedBy } = heldOf(request, entry, sourceRule);
    const file = { path, shardId: `${request.shardIdPrefix}-${index}`, bytes, expectedDigest, expectedTreeDigest };
    return { file, entry, expectedBy };
  });
}

/** As `heldDigests`, with errors that name the file. */
function heldOf(request: PullRequest, entry: ModelFileEntry, digestRule: ResolvedModel['digestRule']): HeldDigests {
  const { path } = entry;
  const { flatDigest, digest } = request;
  const [expectedDigest, expectedTreeDigest] = [request.expected.get(path), request.expectedTree.get(path)];
  try {
    return heldDigests({ flatDigest, digest, expectedDigest, expectedTreeDigest }, entry, { digestRule });
  } catch (error) {
    throw error instanceof WorkerError ? new WorkerError(error.code, `${path}: ${error.message}`) : error;
  }
}

function requireKnownPaths({ expected, expectedTree }: PullRequest, shards: readonly ModelFileEntry[]): void {
  const paths = new Set(shards.map(({ path }) => path));
  for (const path of [...expected.keys(), ...expectedTree.keys()]) {
    if (paths.has(path)) continue;
    throw new WorkerError('INVALID_PARAMS', `A digest is expected of ${path}, which is not a shard of the model`);
  }
}
