import { WorkerError } from '../errors.js';
import { descriptorShares } from '../runtime/open_files.js';
import type { TransferOptions } from './egress/request.js';
import type { ModelFileEntry } from './model.js';
import type { RangedSource } from './ranged_source.js';

/**
 * Files of a model that stay open: a descriptor each. Four pulls run at a time, and hold at most half of the descriptors of files.
 * A later file is compared by size and time when it is opened again.
 */
const maxHeldFiles = (): number => Math.min(512, Math.floor(descriptorShares().files / 8));

/**
 * Keeps the local files of a model open, so that the bytes of a shard are those of the file whose format was checked, also
 * if another file takes its path.
 */
export class HeldFiles {
  readonly #held: Promise<RangedSource>[] = [];
  readonly #maxHeld = maxHeldFiles();
  #isClosed = false;

  /** The same files. Each is opened once, and its reads use duplicates of that descriptor. */
  hold(entries: readonly ModelFileEntry[]): ModelFileEntry[] {
    return entries.map((entry, index) => (index < this.#maxHeld ? this.#hold(entry) : entry));
  }

  /** Closes the files. It does not wait for an open in progress. */
  close(): void {
    this.#isClosed = true;
    for (const opening of this.#held.splice(0)) {
      opening.then(
        (source) => source.close(),
        () => undefined,
      );
    }
  }

  #hold(entry: ModelFileEntry): ModelFileEntry {
    let held: Promise<RangedSource> | undefined;
    const open = async (options: TransferOptions): Promise<RangedSource> => {
      if (this.#isClosed) throw new WorkerError('INTERNAL', 'The files of the model are closed');
      if (held === undefined) {
        held = entry.open(options);
        this.#held.push(held);
      }
      return (await held).reopen?.(options.signal) ?? entry.open(options);
    };
    return { ...entry, open };
  }
}
