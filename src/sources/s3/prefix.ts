import { WorkerError } from '../../errors.js';
import { AbortScope } from '../egress/abort_scope.js';
import { SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { isFilePath } from '../file_path.js';
import { kindOfFile } from '../file_pattern.js';
import { selectFiles } from '../file_selection.js';
import type { ModelFileEntry, ResolvedModel } from '../model.js';
import type { S3Reference } from '../reference.js';
import { textOf } from '../reference_text.js';
import type { Bucket } from './bucket.js';
import { listKeys } from './list.js';
import { S3Object } from './s3_object.js';

const parallelHeads = 8;

/** All objects below a prefix. @throws WorkerError INVALID_PARAMS, and every SOURCE_ code */
export async function resolvePrefix(
  bucket: Bucket,
  { key: prefix, version_id: versionId }: S3Reference,
  options: TransferOptions,
): Promise<ResolvedModel> {
  if (versionId !== undefined) throw new WorkerError('INVALID_PARAMS', 'A prefix has no version_id');
  const listed = await listKeys(bucket, prefix, options);
  if (listed.length === 0) throw new SourceFault('SOURCE_NOT_FOUND', 'The bucket has no object with this prefix');
  const paths = listed.map((key) => key.slice(prefix.length)).filter(isModelFile);
  const { shards, indexes, skipped } = selectFiles(paths);
  const entries = await openAll(bucket, prefix, [...shards, ...indexes], options);
  return {
    modelRef: textOf({ type: 's3', bucket: bucket.name, key: prefix }),
    isImmutable: false,
    shards: entries.slice(0, shards.length),
    indexes: entries.slice(shards.length),
    skipped,
  };
}

/** Whether a key below the prefix names a file. Folder markers and other odd keys are left out, but not odd shards. */
function isModelFile(path: string): boolean {
  if (isFilePath(path)) return true;
  if (kindOfFile(path) === 'other') return false;
  throw new SourceFault('SOURCE_UNSUPPORTED', 'A shard has a key that is not a plain relative path below the prefix');
}

/** Opens objects, several at a time. The first failure ends the others. */
async function openAll(
  bucket: Bucket,
  prefix: string,
  paths: readonly string[],
  options: TransferOptions,
): Promise<readonly ModelFileEntry[]> {
  const scope = new AbortScope(options.signal);
  const entries = new Array<ModelFileEntry | undefined>(paths.length).fill(undefined);
  const queue = paths.entries();
  const work = async (): Promise<void> => {
    for (const [index, path] of queue) {
      const object = await S3Object.open(bucket, { key: `${prefix}${path}` }, { ...options, signal: scope.signal });
      entries[index] = object.entry(path);
    }
  };
  const workers = Array.from({ length: parallelHeads }, work);
  try {
    await Promise.all(workers);
    return entries.filter((entry) => entry !== undefined);
  } catch (error) {
    scope.abort(error);
    await Promise.allSettled(workers);
    throw error;
  } finally {
    scope.dispose();
  }
}
