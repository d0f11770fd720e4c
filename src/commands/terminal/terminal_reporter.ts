import { LiveLines, type TerminalStream } from './live_lines.js';
import type { Progress } from './progress.js';
import { progressLines } from './progress_lines.js';
import type { Reporter } from './reporter.js';
import { safeText } from './safe_text.js';

/** A bar for the whole and a line for each active file, redrawn in place. */
export class TerminalReporter implements Reporter {
  readonly #lines: LiveLines;

  constructor(terminal: TerminalStream) {
    this.#lines = new LiveLines(terminal);
  }

  show(progress: Progress): void {
    this.#lines.show((columns, rows) => progressLines(progress, columns, rows));
  }

  note(text: string): void {
    this.#lines.print([safeText(text)]);
  }

  stop(): void {
    this.#lines.stop();
  }
}
