import type { Clock } from '../../src/sources/egress/clock.js';

interface Timer {
  readonly atMs: number;
  readonly action: () => void;
}

/** A clock that moves only when a test advances it. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  readonly #timers = new Set<Timer>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return Date.UTC(2026, 0, 1) + this.#nowMs;
  }

  after(ms: number, action: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, action };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** The number of timers that have neither fired nor been canceled. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Fires every timer that is due within `ms`, in order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.action();
    }
    this.#nowMs = endMs;
  }
}
