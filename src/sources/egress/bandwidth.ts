import { type Clock, sleep } from './clock.js';

/** Time that the limit may run ahead, so that short waits are not needed for each chunk. */
const burstMs = 100;

/** Limits the bytes per second of all transfers that share it. 0 is no limit. */
export class Bandwidth {
  readonly #bytesPerSecond: number;
  readonly #clock: Clock;
  #paidUntilMs = 0;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  get isLimited(): boolean {
    return this.#bytesPerSecond > 0;
  }

  /** Counts bytes that arrived. Undefined, or resolves when the next may be read. @throws the reason of the signal */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    if (!this.isLimited) return undefined;
    const nowMs = this.#clock.monotonicMs();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + (bytes / this.#bytesPerSecond) * 1000;
    const waitMs = this.#paidUntilMs - nowMs - burstMs;
    return waitMs > 0 ? sleep(this.#clock, waitMs, signal) : undefined;
  }
}
