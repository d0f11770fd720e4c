import { WorkerError } from '../../errors.js';
import { type ModelFile, openBeneath } from '../../vram/file.js';

/** A file from which a shard can be read again. `path` is relative to the model directory. */
export interface FileSource {
  readonly path: string;
}

/**
 * Opens the file of a source. The caller closes it.
 * @throws WorkerError INVALID_PARAMS if the worker has no model directory or the path leaves it, NOT_FOUND
 */
export function openSource(modelDir: string | undefined, { path }: FileSource): ModelFile {
  if (modelDir === undefined) {
    throw new WorkerError('INVALID_PARAMS', 'Commits by reference are disabled: set WORKER_MODEL_DIR');
  }
  return openBeneath(modelDir, path);
}
