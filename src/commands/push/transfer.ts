import type { ProgressReport } from '../terminal/progress.js';
import { ProgressTracker } from '../terminal/progress.js';
import type { Reporter } from '../terminal/reporter.js';
import type { LocalFile } from './file_digest.js';

/** The progress of one pass over all files, in order: their hash, or their upload. */
export class FilesProgress {
  readonly #state: string;
  readonly #files: readonly LocalFile[];
  readonly #reporter: Reporter;
  readonly #tracker = new ProgressTracker();
  #index = 0;
  #count = 0;

  constructor(state: string, files: readonly LocalFile[], reporter: Reporter) {
    this.#state = state;
    this.#files = files;
    this.#reporter = reporter;
  }

  /** The bytes of the file at this index that are processed. The files before it are done. */
  at(index: number, count: number): void {
    this.#index = index;
    this.#count = count;
    this.#show(this.#state);
  }

  /** The worker seals the current file. */
  sealing(): void {
    this.#show('sealing');
  }

  /** All files are done. */
  end(): void {
    this.at(this.#files.length, 0);
  }

  #show(state: string): void {
    const before = this.#files.slice(0, this.#index).reduce((sum, { bytes }) => sum + bytes, 0);
    const report: ProgressReport = {
      state,
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
