import type { ProgressReport } from '../terminal/progress.js';
import { ProgressTracker } from '../terminal/progress.js';
import type { Reporter } from '../terminal/reporter.js';
import type { LocalFile } from './file_digest.js';

type Pass = 'hashing' | 'sending';

/** Between two reports about one file. A report about 1024 files takes longer than the hash of 1 MiB. */
const minIntervalMs = 100;

/** The progress of one pass over all files, in order: their hash, or their upload. */
export class FilesProgress {
  readonly #pass: Pass;
  readonly #files: readonly LocalFile[];
  readonly #reporter: Reporter;
  readonly #tracker = new ProgressTracker();
  readonly #clockMs: () => number;
  #index = 0;
  #count = 0;
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(pass: Pass, files: readonly LocalFile[], reporter: Reporter, clockMs = () => performance.now()) {
    this.#pass = pass;
    this.#files = files;
    this.#reporter = reporter;
    this.#clockMs = clockMs;
  }

  /** The bytes of the file at this index that are processed. The files before it are done. */
  at(index: number, count: number): void {
    this.#index = index;
    this.#count = count;
    // The worker seals for a while after the last byte.
    const isSent = this.#pass === 'sending' && count === this.#files[index]?.bytes;
    if (isSent || this.#clockMs() - this.#shownAtMs >= minIntervalMs) this.#show(this.#pass);
  }

  /** All files are done. */
  end(state: string): void {
    this.#index = this.#files.length;
    this.#count = 0;
    this.#show(state);
  }

  #show(state: string): void {
    this.#shownAtMs = this.#clockMs();
    const before = this.#files.slice(0, this.#index).reduce((sum, { bytes }) => sum + bytes, 0);
    const report: ProgressReport = {
      state,
      completed: this.#pass === 'hashing' ? 'hashed' : 'sealed',
      bytes: this.#files.reduce((sum, { bytes }) => sum + bytes, 0),
      receivedBytes: before + this.#count,
      files: this.#files.map(({ path, bytes }, index) => ({
        name: path,
        state: index < this.#index ? 'done' : index === this.#index ? 'active' : 'waiting',
        bytes,
        receivedBytes: index < this.#index ? bytes : index === this.#index ? this.#count : 0,
      })),
    };
    this.#reporter.show(this.#tracker.next(report));
  }
}
