import { WorkerError } from '../errors.js';
import type { TransferOptions } from './egress/request.js';
import type { Inspector } from './formats/inspector.js';
import { filesOf } from './index_model.js';
import type { LocalFiles } from './local_files.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from './model.js';
import type { RangedSource } from './ranged_source.js';
import type { FileReference } from './reference.js';
import { textOf } from './reference_text.js';

/** Finds files of the model directory. Their bytes may change, and no claim of a digest exists. */
export class FileResolver implements ModelResolver<FileReference> {
  readonly #files: LocalFiles;
  readonly #inspector: Inspector;

  constructor(files: LocalFiles, inspector: Inspector) {
    this.#files = files;
    this.#inspector = inspector;
  }

  async resolve(reference: FileReference, options: TransferOptions): Promise<ResolvedModel> {
    const entry = await this.#entry(reference.path, options.signal);
    const folder = reference.path.slice(0, reference.path.lastIndexOf('/') + 1);
    const sibling = (name: string) => this.#entry(folder + name, options.signal);
    const files = await filesOf(entry, this.#inspector, sibling, options);
    return { modelRef: textOf(reference), isImmutable: false, digestRule: 'allow', ...files };
  }

  async #entry(path: string, signal: AbortSignal): Promise<ModelFileEntry> {
    const file = await this.#files.open('model_dir', path, signal);
    const { totalBytes: bytes, etag } = file;
    file.close();
    if (bytes === 0) throw new WorkerError('INVALID_PARAMS', 'The file of source.path is empty');
    return {
      path,
      bytes,
      claim: undefined,
      pinned: { type: 'file', path },
      open: (options) => this.#openAgain(path, etag, options.signal),
    };
  }

  /** The formats of a model are checked before its bytes are read. */
  async #openAgain(path: string, etag: string | undefined, signal: AbortSignal): Promise<RangedSource> {
    const file = await this.#files.open('model_dir', path, signal);
    if (file.etag === etag) return file;
    file.close();
    throw new WorkerError('LENGTH_MISMATCH', 'The file changed while it was read');
  }
}
