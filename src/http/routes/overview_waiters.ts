import { WorkerError } from '../../errors.js';
import type { Residency } from '../../residency/residency.js';
import { nextSlice } from '../../residency/state/time_slices.js';
import type { OverviewCache } from './overview_cache.js';

/** How often waits are compared with the worker, and how exact a deadline is. */
const tickMs = 200;

/** Waits that end in one turn of the event loop. */
const batchSize = 16;

interface Waiter {
  readonly seen: string;
  readonly deadlineMs: number;
  readonly resolve: () => void;
}

export interface OverviewWaiterOptions {
  readonly residency: Residency;
  readonly overviews: OverviewCache;
  /** Waits at one time. */
  readonly limit: number;
}

/** The long polls of the overview. All waits share one timer. */
export class OverviewWaiters {
  readonly #options: OverviewWaiterOptions;
  readonly #waiters = new Set<Waiter>();
  #isClosed = false;
  #isEnding = false;
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OverviewWaiterOptions) {
    this.#options = options;
    options.residency.onRevision(() => this.#changed());
  }

  get count(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves when the overview with the tag `seen` is outdated, after `maxMs` or at the shutdown.
   * @throws WorkerError RATE_LIMITED if too many clients wait, and the reason of the signal
   */
  async wait(seen: string, maxMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { limit, overviews } = this.#options;
    if (this.#mustEnd || overviews.isOutdated(seen)) return;
    if (this.#waiters.size >= limit) {
      const detail = `${limit} clients wait for a change already: poll without wait_seconds`;
      throw new WorkerError('RATE_LIMITED', detail, { retryAfterMs: 5000 });
    }
    let end = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter = { seen, deadlineMs: performance.now() + maxMs, resolve };
        const leave = () => reject(signal.reason);
        signal.addEventListener('abort', leave, { once: true });
        end = () => {
          signal.removeEventListener('abort', leave);
          this.#remove(waiter);
        };
        this.#waiters.add(waiter);
        this.#timer ??= setInterval(() => void this.#tick(), tickMs);
      });
    } finally {
      end();
    }
  }

  /** Ends all waits. Later ones end at once. */
  close(): void {
    this.#isClosed = true;
    void this.#tick();
  }

  get #mustEnd(): boolean {
    const { phase } = this.#options.residency;
    return this.#isClosed || phase === 'draining' || phase === 'stopped';
  }

  #remove(waiter: Waiter): void {
    if (!this.#waiters.delete(waiter) || this.#waiters.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks at the worker after the change in progress is complete. */
  #changed(): void {
    if (this.#waiters.size === 0) return;
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      void this.#tick();
    });
  }

  /** Ends the waits that must end now, in batches, so that their responses are written in between. */
  async #tick(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    try {
      while (this.#endBatch() === batchSize) await nextSlice();
    } finally {
      this.#isEnding = false;
    }
  }

  /** Returns how many waits ended. */
  #endBatch(): number {
    const { overviews } = this.#options;
    const nowMs = performance.now();
    const isOutdated = new Map<string, boolean>();
    let ended = 0;
    for (const waiter of this.#waiters) {
      const { seen, deadlineMs, resolve } = waiter;
      if (!isOutdated.has(seen)) isOutdated.set(seen, overviews.isOutdated(seen));
      if (deadlineMs > nowMs && !this.#mustEnd && isOutdated.get(seen) !== true) continue;
      this.#remove(waiter);
      resolve();
      if (++ended === batchSize) break;
    }
    return ended;
  }
}
