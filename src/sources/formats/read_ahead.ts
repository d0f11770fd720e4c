import { WorkerError } from '../../errors.js';
import { firstRange } from './file_check.js';
import type { FileRange, RangedFile } from './model.js';

/** The first ranges that are read at once. A model of many small headers takes a round trip for each otherwise. */
const filesAhead = 4;

/** Reads the ranges that a check asks for, and starts the first read of the next files. */
export class ReadAhead {
  readonly #files: readonly RangedFile[];
  readonly #headerBytes: number;
  readonly #signal: AbortSignal;
  readonly #aborted: Promise<never>;
  readonly #started = new Map<number, Promise<Uint8Array>>();

  constructor(files: readonly RangedFile[], headerBytes: number, signal: AbortSignal) {
    this.#files = files;
    this.#headerBytes = headerBytes;
    this.#signal = signal;
    this.#aborted = abortOf(signal);
  }

  /**
   * Resolves with a copy of the range, which the caller may transfer. Rejects when the signal aborts, even if the file
   * does not. @throws WorkerError SOURCE_INVALID
   */
  async read({ file, offset, length }: FileRange): Promise<Uint8Array<ArrayBuffer>> {
    const reading = offset === 0 ? this.#first(file) : this.#range(file, offset, length);
    const bytes = await Promise.race([reading, this.#aborted]);
    if (bytes.length !== length)
      throw new WorkerError('SOURCE_INVALID', 'The source sent another length than the range');
    return new Uint8Array(bytes);
  }

  #first(file: number): Promise<Uint8Array> {
    for (let next = file; next < file + filesAhead; next += 1) this.#start(next);
    const started = this.#started.get(file) ?? Promise.reject(new RangeError(`file ${file} does not exist`));
    this.#started.delete(file);
    return started;
  }

  #start(file: number): void {
    const target = this.#files[file];
    if (target === undefined || target.bytes === 0 || this.#started.has(file)) return;
    const { offset, length } = firstRange(target, this.#headerBytes);
    const started = this.#range(file, offset, length);
    // The failure is reported when the check reaches this file.
    started.catch(() => undefined);
    this.#started.set(file, started);
  }

  async #range(file: number, offset: number, length: number): Promise<Uint8Array> {
    const target = this.#files[file];
    if (target === undefined) throw new RangeError(`file ${file} does not exist`);
    return await target.read(offset, length, this.#signal);
  }
}

/** Rejects when a signal aborts. */
function abortOf(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => undefined);
  return aborted;
}
