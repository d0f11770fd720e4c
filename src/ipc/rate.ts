/** Users that are counted at a time. Beyond it all others share one count. */
const maxUsers = 1024;

/** Counts events per user in windows of one second. */
export class UserRate {
  readonly #perSecond: number;
  readonly #counts = new Map<number, number>();
  #windowStartMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /**
   * Counts an event, which may weigh more than one. Returns 0, or the milliseconds until the next window if the user has
   * used up this one: the event was not counted then.
   */
  take(uid: number, weight = 1, nowMs = performance.now()): number {
    if (nowMs >= this.#windowStartMs + 1000) {
      this.#windowStartMs = nowMs;
      this.#counts.clear();
    }
    const key = this.#counts.has(uid) || this.#counts.size < maxUsers ? uid : -1;
    const count = (this.#counts.get(key) ?? 0) + weight;
    if (count > this.#perSecond) return Math.max(1, this.#windowStartMs + 1000 - nowMs);
    this.#counts.set(key, count);
    return 0;
  }
}
