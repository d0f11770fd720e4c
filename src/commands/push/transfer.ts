import type { ProgressReport } from '../terminal/progress.js';
import { ProgressTracker } from '../terminal/progress.js';
import type { Reporter } from '../terminal/reporter.js';
import type { LocalFile } from './file_digest.js';

type Pass = 'hashing' | 'sending';

/** The progress of one pass over all files, in order: their hash, or their upload. */
export class FilesProgress {
  readonly #pass: Pass;
  readonly #files: readonly LocalFile[];
  readonly #reporter: Reporter;
  readonly #tracker = new ProgressTracker();
  #index = 0;
  #count = 0;

  constructor(pass: Pass, files: readonly LocalFile[], reporter: Reporter) {
    this.#pass = pass;
    this.#files = files;
    this.#reporter = reporter;
  }

  /** The bytes of the file at this index that are processed. The files before it are done. */
  at(index: number, count: number): void {
    this.#index = index;
    this.#count = count;
    this.#show(this.#pass);
  }

  /** All files are done. */
  end(state: string): void {
    this.#index = this.#files.length;
    this.#count = 0;
    this.#show(state);
  }

  #show(state: string): void {
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
