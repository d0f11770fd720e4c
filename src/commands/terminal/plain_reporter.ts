import type { Progress } from './progress.js';
import { plainLine } from './progress_lines.js';
import { ProgressThrottle } from './progress_throttle.js';
import type { Reporter, Write } from './reporter.js';
import { safeText } from './safe_text.js';
import { bytesText } from './units.js';

const intervalMs = 5000;

/** A line for each new state, each completed file, and every five seconds. */
export class PlainReporter implements Reporter {
  readonly #write: Write;
  readonly #throttle: ProgressThrottle;
  readonly #done = new Set<string>();

  constructor(write: Write, clockMs: () => number = () => performance.now()) {
    this.#write = write;
    this.#throttle = new ProgressThrottle(intervalMs, clockMs);
  }

  show(progress: Progress): void {
    for (const { name, state, bytes } of progress.files) {
      const done = `${progress.completed} ${name}`;
      if (state !== 'done' || this.#done.has(done)) continue;
      this.#done.add(done);
      this.note(`${done}  ${bytesText(bytes)}`);
    }
    if (this.#throttle.admits(progress)) this.#write(`${plainLine(progress)}\n`);
  }

  note(text: string): void {
    this.#write(`${safeText(text)}\n`);
  }

  stop(): void {}
}
