import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors.js';
import { digestSliceBytes, type Throttle } from '../../vram/slices.js';
import { groupBytes } from '../../vram/tree.js';
import type { Preemptible } from '../state/shard.js';

/** How often a waiting slice checks again whether it may run. */
const pollMs = 25;

/** How long a slice yields to other work. Without a limit, a busy worker would never scrub. */
const defaultYieldLimitMs = 10_000;

/** Timers have a maximum delay, which a tiny budget would exceed. */
const longestWaitMs = 60_000;

/** How long after the last byte of a commit more bytes are expected. */
const quietMs = 250;

/** Limits how many bytes per second all scrubbing together reads. */
export class RateBudget {
  readonly bytesPerSecond: number;
  #spentUntilMs = 0;

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Milliseconds until more bytes may be taken; at most a minute, after which the caller asks again. */
  get waitMs(): number {
    return Math.min(longestWaitMs, Math.max(0, this.#spentUntilMs - performance.now()));
  }

  take(bytes: number): void {
    this.#spentUntilMs = Math.max(performance.now(), this.#spentUntilMs) + (bytes / this.bytesPerSecond) * 1000;
  }
}

/** Detects whether a counter has changed within the last quarter of a second. */
export class ActivityDetector {
  #count = 0;
  #changedMs = Number.NEGATIVE_INFINITY;

  look(count: number, nowMs = performance.now()): boolean {
    if (count !== this.#count) this.#changedMs = nowMs;
    this.#count = count;
    return nowMs - this.#changedMs < quietMs;
  }
}

/** Whether other work needs the device. `busy`: it runs before the scrubber. `paused`: scrubbing is paused. */
export type Contention = 'free' | 'busy' | 'paused';

/** Throttles one verification of the scrubber: within the budget, behind other work, until a caller waits for it. */
export class ScrubThrottle implements Throttle, Preemptible {
  readonly #budget: RateBudget;
  readonly #contention: () => Contention;
  readonly #yieldLimitMs: number;
  readonly #woken = new AbortController();
  #expedited = false;

  constructor(budget: RateBudget, contention: () => Contention, yieldLimitMs = defaultYieldLimitMs) {
    this.#yieldLimitMs = yieldLimitMs;
    this.#budget = budget;
    this.#contention = contention;
  }

  /** At most one second's worth of the budget, so that a small budget is not spent in bursts. */
  get sliceBytes(): number {
    const fair = Math.floor(this.#budget.bytesPerSecond / groupBytes) * groupBytes;
    return this.#expedited ? digestSliceBytes : Math.min(digestSliceBytes, Math.max(groupBytes, fair));
  }

  /** A caller waits for this verification now: it continues at full speed. */
  expedite(): void {
    this.#expedited = true;
    this.#woken.abort();
  }

  /** Ends the verification at its next slice, unless a caller waits for it. */
  cancel(): void {
    this.#woken.abort();
  }

  get canceled(): boolean {
    return this.#woken.signal.aborted && !this.#expedited;
  }

  /** Waits until the next slice may run. @throws WorkerError SHARD_BUSY if it was canceled */
  async next(bytes: number): Promise<void> {
    for (let yieldedMs = 0; !this.#woken.signal.aborted; ) {
      const contention = this.#contention();
      const yields = contention === 'paused' || (contention === 'busy' && yieldedMs < this.#yieldLimitMs);
      const waitMs = Math.max(this.#budget.waitMs, yields ? pollMs : 0);
      if (waitMs === 0) break;
      if (contention === 'busy') yieldedMs += waitMs;
      await sleep(waitMs, undefined, { signal: this.#woken.signal, ref: false }).catch(() => undefined);
    }
    if (this.canceled) throw new WorkerError('SHARD_BUSY', 'The verification was canceled', { retryAfterMs: 1000 });
    this.#budget.take(bytes);
  }
}
