import type { TransferOptions } from './egress/request.js';
import type { ModelFileEntry } from './model.js';
import type { RangedSource } from './ranged_source.js';

/** A file that is opened once, so that the bytes that are read are those whose format was checked. */
export class OpenedEntry {
  readonly entry: ModelFileEntry;
  #opening: Promise<RangedSource> | undefined;

  constructor(entry: ModelFileEntry) {
    this.entry = { ...entry, open: (options) => this.#open(entry, options) };
  }

  /** Closes the file. It does not wait for an open in progress. */
  close(): void {
    this.#opening?.then(
      (source) => source.close(),
      () => undefined,
    );
  }

  async #open(entry: ModelFileEntry, options: TransferOptions): Promise<RangedSource> {
    this.#opening ??= entry.open(options);
    return borrowed(await this.#opening);
  }
}

/** The same source, whose close does nothing. */
const borrowed = (source: RangedSource): RangedSource => ({
  totalBytes: source.totalBytes,
  etag: source.etag,
  claim: source.claim,
  supportsRanges: source.supportsRanges,
  maxTransfers: source.maxTransfers,
  copyTo: (sink, range, options) => source.copyTo(sink, range, options),
  close: () => undefined,
});
