import type { Residency } from '../../residency/residency.js';
import type { OverviewCache } from './overview_cache.js';
import type { WaitEnd } from './wait_slots.js';

/** How often waits are compared with the worker, and how exact a deadline is. */
const tickMs = 200;

interface Waiter {
  readonly seen: string;
  readonly deadlineMs: number;
  readonly end: () => void;
}

export interface OverviewWaiterOptions {
  readonly residency: Residency;
  readonly overviews: OverviewCache;
}

/** The long polls of the overview. All waits share one timer. */
export class OverviewWaiters {
  readonly #options: OverviewWaiterOptions;
  readonly #waiters = new Set<Waiter>();
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OverviewWaiterOptions) {
    this.#options = options;
    options.residency.onRevision(() => this.#changed());
  }

  /** Resolves when the overview with the tag `seen` is outdated, after `maxMs`, when `signal` aborts, or when the worker drains. */
  async wait(seen: string, { maxMs, signal }: WaitEnd): Promise<void> {
    if (this.#mustEnd || signal.aborted || this.#options.overviews.isOutdated(seen)) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        signal.removeEventListener('abort', end);
        this.#remove(waiter);
        resolve();
      };
      const waiter = { seen, deadlineMs: performance.now() + maxMs, end };
      signal.addEventListener('abort', end);
      this.#waiters.add(waiter);
      this.#timer ??= setInterval(() => this.#tick(), tickMs);
    });
  }

  get #mustEnd(): boolean {
    const { phase } = this.#options.residency;
    return phase === 'draining' || phase === 'stopped';
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
      this.#tick();
    });
  }

  /** Ends the waits that must end now. */
  #tick(): void {
    const { overviews } = this.#options;
    const nowMs = performance.now();
    const isOutdated = new Map<string, boolean>();
    for (const { seen, deadlineMs, end } of this.#waiters) {
      if (!isOutdated.has(seen)) isOutdated.set(seen, overviews.isOutdated(seen));
      if (deadlineMs <= nowMs || this.#mustEnd || isOutdated.get(seen) === true) end();
    }
  }
}
