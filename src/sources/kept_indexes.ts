import { SourceFault } from './egress/fault.js';
import type { TransferOptions } from './egress/request.js';
import { MemorySource } from './memory_source.js';
import type { ModelFileEntry } from './model.js';
import { readRange } from './read_range.js';

/** Of all indexes of a model. Those of large models have less than 4 MiB. An index beyond it is read again. */
const maxKeptBytes = 8 * 1024 * 1024;

/** Reads each index of a model once, so that the index that chose the files is the one that is checked. */
export class KeptIndexes {
  #leftBytes = maxKeptBytes;

  /** The same entry, whose bytes are in memory. @throws WorkerError, the errors of the source */
  async keep(entry: ModelFileEntry, options: TransferOptions): Promise<ModelFileEntry> {
    const { bytes: length } = entry;
    if (length > this.#leftBytes) return entry;
    this.#leftBytes -= length;
    const source = await entry.open(options);
    try {
      if (source.totalBytes !== length)
        throw new SourceFault('SOURCE_CHANGED', `The index ${entry.path} has another length than before`);
      const kept = new MemorySource(await readRange(source, { offset: 0, length }, options), source.claim);
      return { ...entry, open: async () => kept };
    } finally {
      source.close();
    }
  }
}
