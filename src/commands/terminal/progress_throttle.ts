import type { Progress } from './progress.js';

/** Admits progress at most once in a time, and each new state. */
export class ProgressThrottle {
  readonly #intervalMs: number;
  readonly #clockMs: () => number;
  #state = '';
  #admittedAtMs = Number.NEGATIVE_INFINITY;

  constructor(intervalMs: number, clockMs: () => number) {
    this.#intervalMs = intervalMs;
    this.#clockMs = clockMs;
  }

  admits({ state }: Progress): boolean {
    const nowMs = this.#clockMs();
    if (state === this.#state && nowMs - this.#admittedAtMs < this.#intervalMs) return false;
    this.#state = state;
    this.#admittedAtMs = nowMs;
    return true;
  }
}
