import type { TransferOptions } from './egress/request.js';
import type { Inspector } from './formats/inspector.js';
import { formatOf } from './formats/magic.js';
import type { FileFormat, RangedFile } from './formats/model.js';
import type { ModelFileEntry, ResolvedModel } from './model.js';
import type { RangedSource } from './ranged_source.js';
import { readRange } from './read_range.js';

/** Files that are open at once while the headers of a model are read. */
const maxOpen = 16;

/** A file of a source, as the checks of formats read it. */
export const rangedFileOf = (path: string, source: RangedSource, options: TransferOptions): RangedFile => ({
  path,
  bytes: source.totalBytes,
  read: (offset, length, signal) => readRange(source, { offset, length }, { ...options, signal }),
});

/**
 * Checks the formats of a model by its headers. `whole` is as in `Model`.
 * @throws WorkerError FORMAT_INVALID, and the errors of the source
 */
export async function inspectModel(
  inspector: Inspector,
  model: Pick<ResolvedModel, 'shards' | 'indexes'>,
  { whole, ...options }: TransferOptions & { readonly whole: boolean },
): Promise<readonly FileFormat[]> {
  const open = new OpenFiles(options);
  const fileOf = (entry: ModelFileEntry): RangedFile => ({
    path: entry.path,
    bytes: entry.bytes,
    read: (offset, length, signal) => open.read(entry, { offset, length }, signal),
  });
  try {
    const files = { files: model.shards.map(fileOf), indexes: model.indexes.map(fileOf), whole };
    return await inspector.inspect(files, options.signal);
  } finally {
    open.close();
  }
}

/** The bytes that decide about the format of a file. */
const magicBytes = 10;

/** Whether a file begins as one of a known format does. @throws WorkerError, the errors of the source */
export async function hasKnownFormat(entry: ModelFileEntry, options: TransferOptions): Promise<boolean> {
  const source = await entry.open(options);
  try {
    const length = Math.min(magicBytes, source.totalBytes);
    return formatOf(await readRange(source, { offset: 0, length }, options)) !== 'unknown';
  } finally {
    source.close();
  }
}

/** Opens files when they are read, and closes the oldest ones again. */
class OpenFiles {
  readonly #options: TransferOptions;
  readonly #sources = new Map<ModelFileEntry, Promise<RangedSource>>();

  constructor(options: TransferOptions) {
    this.#options = options;
  }

  async read(
    entry: ModelFileEntry,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<Buffer> {
    return readRange(await this.#open(entry), range, { ...this.#options, signal });
  }

  close(): void {
    for (const entry of [...this.#sources.keys()]) this.#close(entry);
  }

  #open(entry: ModelFileEntry): Promise<RangedSource> {
    const found = this.#sources.get(entry);
    if (found !== undefined) return found;
    const [oldest] = this.#sources.keys();
    if (oldest !== undefined && this.#sources.size >= maxOpen) this.#close(oldest);
    const opening = entry.open(this.#options);
    this.#sources.set(entry, opening);
    return opening;
  }

  #close(entry: ModelFileEntry): void {
    const opened = this.#sources.get(entry);
    this.#sources.delete(entry);
    opened?.then(
      (source) => source.close(),
      () => undefined,
    );
  }
}
