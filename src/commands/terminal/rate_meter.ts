/** The time over which a rate is measured. */
const windowMs = 5000;
const minWindowMs = 500;

/** The rate of a count of bytes that only grows. */
export class RateMeter {
  readonly #clockMs: () => number;
  #samples: { readonly atMs: number; readonly bytes: number }[] = [];
  #most = 0;

  constructor(clockMs: () => number) {
    this.#clockMs = clockMs;
  }

  /** Adds the count so far. Returns the highest count. */
  add(bytes: number): number {
    this.#most = Math.max(this.#most, bytes);
    const atMs = this.#clockMs();
    this.#samples.push({ atMs, bytes: this.#most });
    // One sample that is older than the window is its start.
    while ((this.#samples[1]?.atMs ?? atMs) < atMs - windowMs) this.#samples.shift();
    return this.#most;
  }

  /** Undefined until there are two samples half a second apart. */
  get bytesPerSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < minWindowMs) return undefined;
    return ((last.bytes - first.bytes) / (last.atMs - first.atMs)) * 1000;
  }
}
