import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors.js';
import { digestSliceBytes, type Throttle } from '../../vram/slices.js';
import { groupBytes } from '../../vram/tree.js';

/** How often a slice that waits for others looks again. */
const pollMs = 25;

/** So long a slice lets others go first; then it goes too, or a busy worker would never look at what it has. */
const defaultYieldLimitMs = 10_000;

/** A timer can't wait for ever, which a tiny budget may ask for. */
const longestWaitMs = 60_000;

/** How many bytes a second all scrubbing together may read. */
export class RateBudget {
  readonly bytesPerSecond: number;
  #spentUntilMs = 0;

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Milliseconds until more may be taken, or until it is worth asking again. */
  get waitMs(): number {
    return Math.min(longestWaitMs, Math.max(0, this.#spentUntilMs - performance.now()));
  }

  take(bytes: number): void {
    this.#spentUntilMs = Math.max(performance.now(), this.#spentUntilMs) + (bytes / this.bytesPerSecond) * 1000;
  }
}

/** So long after the last byte of a commit more are expected. */
const quietMs = 250;

/** Whether a count that only somebody's work changes has changed lately. */
export class ActivityDetector {
  #count = 0;
  #changedMs = Number.NEGATIVE_INFINITY;

  look(count: number, nowMs = performance.now()): boolean {
    if (count !== this.#count) this.#changedMs = nowMs;
    this.#count = count;
    return nowMs - this.#changedMs < quietMs;
  }
}

/** Who else wants the device: nobody, somebody who goes first, or it is not to be used at all. */
export type Contention = 'free' | 'busy' | 'paused';

/** The pace of one verification by the scrubber: within the budget, behind everybody else, until somebody waits for it. */
export class ScrubThrottle implements Throttle {
  readonly #budget: RateBudget;
  readonly #traffic: () => Contention;
  readonly #yieldLimitMs: number;
  readonly #woken = new AbortController();
  #hurried = false;

  constructor(budget: RateBudget, traffic: () => Contention, yieldLimitMs = defaultYieldLimitMs) {
    this.#yieldLimitMs = yieldLimitMs;
    this.#budget = budget;
    this.#traffic = traffic;
  }

  /** At most a second's worth of the budget, so that a small one is not spent in bursts. */
  get sliceBytes(): number {
    const fair = Math.floor(this.#budget.bytesPerSecond / groupBytes) * groupBytes;
    return this.#hurried ? digestSliceBytes : Math.min(digestSliceBytes, Math.max(groupBytes, fair));
  }

  /** Somebody waits for this verification now: it goes on at full speed. */
  expedite(): void {
    this.#hurried = true;
    this.#woken.abort();
  }

  /** Ends the verification at its next slice, unless somebody waits for it. */
  cancel(): void {
    this.#woken.abort();
  }

  get cancelled(): boolean {
    return this.#woken.signal.aborted && !this.#hurried;
  }

  /** @throws WorkerError SHARD_BUSY when it was cancelled */
  async next(bytes: number): Promise<void> {
    for (let yieldedMs = 0; !this.#woken.signal.aborted; ) {
      const traffic = this.#traffic();
      const yields = traffic === 'paused' || (traffic === 'busy' && yieldedMs < this.#yieldLimitMs);
      const waitMs = Math.max(this.#budget.waitMs, yields ? pollMs : 0);
      if (waitMs === 0) break;
      if (traffic === 'busy') yieldedMs += waitMs;
      await sleep(waitMs, undefined, { signal: this.#woken.signal, ref: false }).catch(() => undefined);
    }
    if (this.cancelled) throw new WorkerError('SHARD_BUSY', 'the shard is wanted otherwise', { retryAfterMs: 1000 });
    this.#budget.take(bytes);
  }
}
