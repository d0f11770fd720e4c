/** The window of the rate: long enough for a steady figure, and short enough to follow a change. */
const windowMs = 10_000;

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

/** The rate of a count that grows, over the last 10 s. */
export class RateMeter {
  readonly #samples: Sample[] = [];

  /** Adds the count at a moment of the monotonic clock. Samples come at a bounded rate. */
  add(bytes: number, atMs: number): void {
    this.#samples.push({ bytes, atMs });
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? atMs) <= atMs - windowMs) this.#samples.shift();
  }

  get bytesPerSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.round(((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
  }
}
