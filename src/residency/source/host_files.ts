import { WorkerError } from '../../errors.js';
import type { LocalFiles, LocalRoot } from '../../sources/local_files.js';
import { usableCores } from '../../vram/cores.js';
import type { Driver } from '../../vram/driver.js';
import type { Directory, FileContent, ModelFile } from '../../vram/file.js';
import { status, VramError } from '../../vram/status.js';
import { FileStop, LocalFile, readersOf } from './local_file.js';

/** The parts of the worker that local files need. */
export interface HostDirectories {
  readonly driver: Driver;
  readonly options: { readonly modelDir: string | undefined; readonly hfCacheDir?: string | undefined };
}

/** Reads local files with libvram: its threads make the calls of the file system, and links do not lead outside. */
export class HostFiles implements LocalFiles {
  readonly #worker: HostDirectories;
  readonly #cores = usableCores();

  constructor(worker: HostDirectories) {
    this.#worker = worker;
  }

  async open(root: LocalRoot, path: string, signal: AbortSignal): Promise<LocalFile> {
    const stop = new FileStop(signal);
    const { throwIfStopped } = stop;
    const { driver } = this.#worker;
    const file = await driver.openFile(this.#directory(root), path, { throwIfStopped });
    return new LocalFile(file, stop, readersOf(this.#cores, driver.ordinals.length));
  }

  async readText(root: LocalRoot, path: string, maxBytes: number, signal: AbortSignal): Promise<string> {
    const bytes = await this.#content(root, path, { kind: 'file' }, { signal, maxBytes });
    return bytes.toString('utf8');
  }

  async readLink(root: LocalRoot, path: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const target = await this.#content(root, path, { kind: 'link' }, { signal });
      return target.toString('utf8');
    } catch (error) {
      if (error instanceof VramError && error.status === status.notAFile) return undefined;
      throw error;
    }
  }

  async list(root: LocalRoot, path: string, maxFiles: number, signal: AbortSignal): Promise<readonly string[]> {
    const paths = await this.#content(root, path, { kind: 'list', maxEntries: maxFiles }, { signal });
    return paths.toString('utf8').split('\0').slice(0, -1).sort();
  }

  async #content(
    root: LocalRoot,
    path: string,
    content: FileContent,
    { signal, maxBytes = Number.POSITIVE_INFINITY }: { readonly signal: AbortSignal; readonly maxBytes?: number },
  ): Promise<Buffer> {
    const { throwIfStopped } = new FileStop(signal);
    const directory = this.#directory(root);
    const file: ModelFile = await this.#worker.driver.openFile(directory, path, { content, throwIfStopped });
    try {
      const { bytes: length } = file;
      if (length > maxBytes) throw new WorkerError('INVALID_PARAMS', `${directory.pathName} is too large`);
      return await file.bytesOf({ offset: 0, length });
    } finally {
      file.close();
    }
  }

  /** @throws WorkerError INVALID_PARAMS if the setting is unset */
  #directory(root: LocalRoot): Directory {
    const { modelDir, hfCacheDir } = this.#worker.options;
    if (root === 'model_dir') {
      if (modelDir !== undefined) return { path: modelDir, name: 'model directory', pathName: 'source.path' };
      throw new WorkerError('INVALID_PARAMS', 'Files of the model directory are disabled: set WORKER_MODEL_DIR');
    }
    if (hfCacheDir !== undefined) return { path: hfCacheDir, name: 'Hugging Face cache', pathName: 'The path' };
    throw new WorkerError('INVALID_PARAMS', 'The Hugging Face cache is disabled: set WORKER_HF_CACHE_DIR');
  }
}
