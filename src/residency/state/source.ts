import { WorkerError } from '../../errors.js';
import type { Driver } from '../../vram/driver.js';
import type { ModelFile } from '../../vram/file.js';

/** A file from which a shard can be read again. `path` is relative to the model directory. */
export interface FileSource {
  readonly path: string;
}

/** What `openSource` needs of the worker. */
export interface FileOpener {
  readonly driver: Driver;
  readonly options: { readonly modelDir: string | undefined };
}

/**
 * Opens the file of a source. The caller closes it. `throwIfStopped` can end the waits for the file.
 * @throws WorkerError INVALID_PARAMS if the worker has no model directory or the path leaves it, NOT_FOUND,
 * MODEL_DIR_UNAVAILABLE
 */
export async function openSource(
  { driver, options: { modelDir } }: FileOpener,
  { path }: FileSource,
  throwIfStopped?: () => void,
): Promise<ModelFile> {
  if (modelDir === undefined) {
    throw new WorkerError('INVALID_PARAMS', 'Commits by reference are disabled: set WORKER_MODEL_DIR');
  }
  const directory = { path: modelDir, name: 'model directory', pathName: 'source.path' };
  return driver.openFile(directory, path, throwIfStopped === undefined ? {} : { throwIfStopped });
}
