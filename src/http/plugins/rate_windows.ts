/** Beyond this many keys the one with the oldest window is forgotten. */
const maxKeys = 5000;

interface Window {
  count: number;
  readonly startMs: number;
}

/** The requests of a key in its current window, and the time until the next window. */
export interface Rate {
  readonly count: number;
  readonly remainingMs: number;
}

/** Counts requests per key in fixed windows. */
export class RateWindows {
  readonly #windows = new Map<string, Window>();

  /** Counts one request. */
  add(key: string, windowMs: number): Rate {
    const nowMs = performance.now();
    const window = this.#windows.get(key);
    if (window !== undefined && nowMs < window.startMs + windowMs) {
      window.count += 1;
      return { count: window.count, remainingMs: Math.ceil(window.startMs + windowMs - nowMs) };
    }
    this.#windows.delete(key);
    const [oldest] = this.#windows.size < maxKeys ? [] : this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
    this.#windows.set(key, { count: 1, startMs: nowMs });
    return { count: 1, remainingMs: windowMs };
  }
}
