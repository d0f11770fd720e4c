import type { Residency } from '../../residency/residency.js';
import { nextSlice } from '../../residency/state/time_slices.js';
import type { OverviewCache } from './overview_cache.js';
import type { WaitEnd } from './ready_waiters.js';

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
   * Resolves when the overview with the tag `seen` is outdated, after `maxMs`, `early` or at the shutdown.
   * @throws the reason of `left`
   */
  async wait(seen: string, { maxMs, early, left }: WaitEnd): Promise<void> {
    left.throwIfAborted();
    const { overviews } = this.#options;
    if (this.#mustEnd || early.aborted || overviews.isOutdated(seen)) return;
    let end = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter = { seen, deadlineMs: performance.now() + maxMs, resolve: () => resolve() };
        const leave = () => reject(left.reason);
        left.addEventListener('abort', leave, { once: true });
        early.addEventListener('abort', waiter.resolve, { once: true });
        end = () => {
          left.removeEventListener('abort', leave);
          early.removeEventListener('abort', waiter.resolve);
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
