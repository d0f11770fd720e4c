import { WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from '../../sources/model.js';
import type { RangedSource } from '../../sources/ranged_source.js';
import type { SourceReference } from '../../sources/reference.js';

/** Whether a reference is to files of this host. */
export const isLocal = ({ type }: SourceReference): boolean => type === 'file' || type === 'hf_cache';

/** A file that was committed, as a manifest describes it. */
export interface CommittedFile {
  readonly reference: SourceReference;
  readonly bytes: number;
  readonly digest: Digest | null;
}

/**
 * Opens the file of a shard again. The caller closes it.
 * @throws WorkerError LENGTH_MISMATCH or SOURCE_CHANGED if it is another file now, and the errors of the source
 */
export async function openPinned(
  resolver: ModelResolver,
  { reference, bytes, digest }: CommittedFile,
  options: TransferOptions,
): Promise<RangedSource> {
  const entry = onlyFile(await resolver.resolve(reference, options));
  const stated = entry.claim?.digest;
  if (stated !== undefined && digest !== null && stated !== digest) {
    throw new WorkerError('SOURCE_CHANGED', 'The source states another digest than that of the shard', final);
  }
  const source = await entry.open(options);
  if (source.totalBytes === bytes) return source;
  source.close();
  if (isLocal(reference)) throw new WorkerError('LENGTH_MISMATCH', 'The length of the file has changed');
  throw new WorkerError('SOURCE_CHANGED', 'The length of the file at the source has changed', final);
}

/** Another attempt would find the same file. */
const final = { retriable: false };

/** The file of a model that consists of one. @throws WorkerError INVALID_PARAMS */
export function onlyFile({ shards }: Pick<ResolvedModel, 'shards'>): ModelFileEntry {
  const [entry] = shards;
  if (entry !== undefined && shards.length === 1) return entry;
  throw new WorkerError(
    'INVALID_PARAMS',
    `source names ${shards.length} files, but a commit takes exactly one: name the file, or use /v1/pulls for a model`,
  );
}
