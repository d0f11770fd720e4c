/** Timers have a maximum delay, which a tiny rate would exceed. */
const longestWaitMs = 60_000;

/** The part of the time that the scrubber uses while other work is active. */
const busyShare = 0.25;

/** Limits how many bytes per second all scrubbing together reads, and which share of the time it takes. */
export class ScrubRate {
  readonly bytesPerSecond: number;
  #spentUntilMs = 0;
  #restUntilMs = 0;
  #measuredMs = 0;
  #measuredBytes = 0;

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Milliseconds until more bytes may be taken; at most a minute, after which the caller asks again. */
  get waitMs(): number {
    return Math.min(longestWaitMs, Math.max(0, this.#spentUntilMs - performance.now()));
  }

  /** Milliseconds that the scrubber leaves to other work, because of the duration of its last slice. */
  get restMs(): number {
    return Math.min(longestWaitMs, Math.max(0, this.#restUntilMs - performance.now()));
  }

  /** The expected time of a byte at full speed: by the limit, or by the speed of the device if that is lower. */
  get msPerByte(): number {
    return Math.max(1000 / this.bytesPerSecond, this.#measuredMsPerByte());
  }

  /** The expected time of a byte while other work is active. */
  get busyMsPerByte(): number {
    return Math.max(1000 / this.bytesPerSecond, this.#measuredMsPerByte() / busyShare);
  }

  /** A slice begins. */
  take(bytes: number): void {
    this.#spentUntilMs = Math.max(performance.now(), this.#spentUntilMs) + (bytes / this.bytesPerSecond) * 1000;
  }

  /** A slice ended. */
  record(bytes: number, durationMs: number): void {
    this.#restUntilMs = performance.now() + durationMs * (1 / busyShare - 1);
    this.#measuredMs += durationMs;
    this.#measuredBytes += bytes;
  }

  /** A pass begins. Its measurements count more than those of earlier passes. */
  beginPass(): void {
    this.#measuredMs /= 2;
    this.#measuredBytes /= 2;
  }

  /** Over whole passes, because a small shard takes more time per byte than a large one. */
  #measuredMsPerByte(): number {
    return this.#measuredBytes === 0 ? 0 : this.#measuredMs / this.#measuredBytes;
  }
}
