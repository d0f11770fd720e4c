/** So many callers are counted at once; the oldest is forgotten first. */
const maxKeys = 5000;

interface Window {
  count: number;
  startMs: number;
}

/**
 * Counts requests of each key in fixed windows, for @fastify/rate-limit. Its own store hands out one object that it
 * goes on changing, so that of many requests in one tick each would see the count of the last.
 */
export class RateWindows {
  readonly #windows = new Map<string, Window>();

  incr(
    key: string,
    callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
    windowMs: number,
  ): void {
    const nowMs = performance.now();
    const window = this.#windows.get(key);
    if (window !== undefined && nowMs < window.startMs + windowMs) {
      window.count += 1;
      callback(null, { current: window.count, ttl: Math.ceil(window.startMs + windowMs - nowMs) });
      return;
    }
    this.#windows.delete(key);
    const [oldest] = this.#windows.size < maxKeys ? [] : this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
    this.#windows.set(key, { count: 1, startMs: nowMs });
    callback(null, { current: 1, ttl: windowMs });
  }

  child(): RateWindows {
    return new RateWindows();
  }
}
