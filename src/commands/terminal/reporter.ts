import { LiveLines, type TerminalStream } from './live_lines.js';
import type { Progress } from './progress.js';
import { plainLine, progressLines } from './progress_lines.js';
import { safeJson, safeText } from './safe_text.js';
import { bytesText } from './units.js';

/** Shows the progress of a transfer. */
export interface Reporter {
  show(progress: Progress): void;
  /** A message that stays. */
  note(text: string): void;
  /** The last progress was shown. */
  stop(): void;
}

type Write = (text: string) => void;

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

const plainIntervalMs = 5000;

/** A line for each new state, each completed file, and every five seconds. */
export class PlainReporter implements Reporter {
  readonly #write: Write;
  readonly #clockMs: () => number;
  readonly #done = new Set<string>();
  #state = '';
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(write: Write, clockMs: () => number = () => performance.now()) {
    this.#write = write;
    this.#clockMs = clockMs;
  }

  show(progress: Progress): void {
    for (const { name, state, bytes } of progress.files) {
      const done = `${progress.completed} ${name}`;
      if (state !== 'done' || this.#done.has(done)) continue;
      this.#done.add(done);
      this.note(`${done}  ${bytesText(bytes)}`);
    }
    const nowMs = this.#clockMs();
    if (progress.state === this.#state && nowMs - this.#shownAtMs < plainIntervalMs) return;
    this.#state = progress.state;
    this.#shownAtMs = nowMs;
    this.#write(`${plainLine(progress)}\n`);
  }

  note(text: string): void {
    this.#write(`${safeText(text)}\n`);
  }

  stop(): void {}
}

const jsonIntervalMs = 1000;

/** One JSON object a line: `{"event":"progress",…}` at most once a second and for each new state, and `{"event":"note"}`. */
export class JsonReporter implements Reporter {
  readonly #write: Write;
  readonly #clockMs: () => number;
  #state = '';
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(write: Write, clockMs: () => number = () => performance.now()) {
    this.#write = write;
    this.#clockMs = clockMs;
  }

  show(progress: Progress): void {
    const nowMs = this.#clockMs();
    if (progress.state === this.#state && nowMs - this.#shownAtMs < jsonIntervalMs) return;
    this.#state = progress.state;
    this.#shownAtMs = nowMs;
    const { state, bytes, receivedBytes, bytesPerSecond, remainingSeconds, files } = progress;
    this.event('progress', {
      state,
      bytes: bytes ?? null,
      received_bytes: receivedBytes,
      bytes_per_second: bytesPerSecond === undefined ? null : Math.round(bytesPerSecond),
      remaining_seconds: remainingSeconds === undefined ? null : Math.ceil(remainingSeconds),
      files: files.map(({ name, state, bytes, receivedBytes }) => ({
        ...{ path: name, state, bytes, received_bytes: receivedBytes },
      })),
    });
  }

  note(text: string): void {
    this.event('note', { text });
  }

  stop(): void {}

  event(event: string, fields: object): void {
    this.#write(`${safeJson({ event, ...fields })}\n`);
  }
}
