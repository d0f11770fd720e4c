import type { Progress } from './progress.js';
import { ProgressThrottle } from './progress_throttle.js';
import type { Reporter, Write } from './reporter.js';
import { safeJson } from './safe_text.js';

const intervalMs = 1000;

/** One JSON object a line: `{"event":"progress",…}` at most once a second and for each new state, and `{"event":"note"}`. */
export class JsonReporter implements Reporter {
  readonly #write: Write;
  readonly #throttle: ProgressThrottle;

  constructor(write: Write, clockMs: () => number = () => performance.now()) {
    this.#write = write;
    this.#throttle = new ProgressThrottle(intervalMs, clockMs);
  }

  show(progress: Progress): void {
    if (!this.#throttle.admits(progress)) return;
    const { state, bytes, receivedBytes, bytesPerSecond, remainingSeconds, files } = progress;
    this.#event('progress', {
      state,
      bytes: bytes ?? null,
      received_bytes: receivedBytes,
      bytes_per_second: bytesPerSecond === undefined ? null : Math.round(bytesPerSecond),
      remaining_seconds: remainingSeconds === undefined ? null : Math.ceil(remainingSeconds),
      files: files.map((file) => ({
        path: file.name,
        state: file.state,
        bytes: file.bytes,
        received_bytes: file.receivedBytes,
      })),
    });
  }

  note(text: string): void {
    this.#event('note', { text });
  }

  stop(): void {}

  #event(event: string, fields: object): void {
    this.#write(`${safeJson({ event, ...fields })}\n`);
  }
}
