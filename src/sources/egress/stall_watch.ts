import type { Clock } from './clock.js';
import { timedOut } from './fault.js';

/** The time over which the minimum rate is averaged, and after which silence is a stall. */
const stallMs = 30_000;

/**
 * Detects a source that is silent, or slower than a minimum rate, for 30 seconds. Only time in which the worker waits for
 * the source counts: a slow GPU or a bandwidth limit is not a stall.
 */
export class StallWatch {
  readonly #clock: Clock;
  readonly #minBytes: number;
  readonly #onStall: (error: Error) => void;
  #windowBytes = 0;
  #waitedMs = 0;
  #waitsSinceMs: number | undefined;
  /** Cancels the timer. It stays while bytes arrive, because a timer for each chunk costs more than the chunk. */
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, minBytesPerSecond: number, onStall: (error: Error) => void) {
    this.#clock = clock;
    this.#minBytes = Math.max(1, (minBytesPerSecond * stallMs) / 1000);
    this.#onStall = onStall;
  }

  /** The worker waits for the source. */
  wait(): void {
    this.#waitsSinceMs = this.#clock.monotonicMs();
    this.#cancel ??= this.#clock.after(stallMs - this.#waitedMs, () => this.#check());
  }

  /** Bytes arrived, and the worker no longer waits. */
  arrived(bytes: number): void {
    this.#windowBytes += bytes;
    this.#addWait();
    this.#waitsSinceMs = undefined;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#waitsSinceMs = undefined;
  }

  #addWait(): void {
    if (this.#waitsSinceMs === undefined) return;
    this.#waitedMs = Math.min(stallMs, this.#waitedMs + this.#clock.monotonicMs() - this.#waitsSinceMs);
  }

  /** The end of the window, or a time before it. */
  #check(): void {
    this.#cancel = undefined;
    if (this.#waitsSinceMs === undefined) return;
    this.#addWait();
    if (this.#waitedMs >= stallMs) this.#endWindow();
    else this.wait();
  }

  #endWindow(): void {
    if (this.#windowBytes < this.#minBytes) {
      this.#onStall(timedOut(`The source stalled: it sent ${this.#windowBytes} bytes in ${stallMs / 1000} s`));
      return;
    }
    this.#windowBytes = 0;
    this.#waitedMs = 0;
    this.wait();
  }
}
