import type { Residency } from '../../residency/residency.js';
import type { WorkerPhase } from '../../residency/state/lifecycle.js';
import { momentNow } from '../../vram/moment.js';
import { keyOf, type PollQuery, type ReadyCache } from './ready_cache.js';
import type { ReadyResponse } from './ready_response.js';
import { TurnQueue } from './turn_queue.js';
import type { WaitEnd } from './wait_slots.js';

/** How often changes end waits if `ready` stays the same. */
const changePeriodMs = 1000;

/** How exact a deadline is. */
const tickMs = 200;

/** What the worker must know of the response that a client has. The body would take memory for as long as the wait. */
export type Seen = Pick<ReadyResponse, 'status' | 'etag' | 'revision'>;

export const seenIn = ({ status, etag, revision }: ReadyResponse): Seen => ({ status, etag, revision });

interface Waiter {
  readonly seen: Seen;
  readonly deadlineMs: number;
  /** Ends the wait. */
  readonly resolve: (response?: ReadyResponse) => void;
  readonly reject: (error: unknown) => void;
}

/** The waits for one answer. */
interface Group {
  readonly query: PollQuery;
  readonly waiters: Set<Waiter>;
  wasReady: boolean;
  /** The response must be compared again now. */
  isDue: boolean;
  /** The revision of the last compared response, and when it was compared. */
  revision: number;
  comparedMs: number;
  isEnding: boolean;
}

export interface WaiterOptions {
  readonly residency: Residency;
  readonly cache: ReadyCache;
}

/**
 * The long polls of `ready`. If `ready` or the state of the worker changes, they end at once. Other changes end them once
 * a second, so that a scrub does not make a thousand clients poll without a pause. All waits share one timer.
 */
export class ReadyWaiters {
  readonly #options: WaiterOptions;
  readonly #groups = new Map<string, Group>();
  readonly #ends = new TurnQueue();
  #count = 0;
  #phase: WorkerPhase;
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WaiterOptions) {
    this.#options = options;
    this.#phase = options.residency.phase;
    options.residency.onRevision(() => this.#changed());
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Resolves with a response that differs from `seen`, or with the current one after `maxMs` or when the worker drains. Resolves
   * without a response when `signal` aborts.
   */
  async wait(query: PollQuery, seen: Seen, { maxMs, signal }: WaitEnd): Promise<ReadyResponse | undefined> {
    if (this.#isEnding || signal.aborted) return undefined;
    const group = this.#groupOf(query, seen);
    let end = (): void => undefined;
    try {
      return await new Promise<ReadyResponse | undefined>((resolve, reject) => {
        const waiter = { seen, deadlineMs: performance.now() + maxMs, resolve, reject };
        const leave = () => resolve(undefined);
        signal.addEventListener('abort', leave);
        end = () => {
          signal.removeEventListener('abort', leave);
          this.#remove(group, waiter);
        };
        this.#add(group, waiter);
        if (this.#options.residency.revision !== seen.revision) this.#changed();
      });
    } finally {
      end();
    }
  }

  /** Whether a response may be sent now. One that is ready may not if the worker is no longer ready. */
  isValid({ modelRef }: PollQuery, { status }: ReadyResponse): boolean {
    return status === 503 || this.#options.residency.couldBeReady(modelRef);
  }

  get #isEnding(): boolean {
    const { phase } = this.#options.residency;
    return phase === 'draining' || phase === 'stopped';
  }

  #groupOf(query: PollQuery, { status, revision }: Seen): Group {
    const key = keyOf(query);
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing;
    const state = { wasReady: status === 200, isDue: false, revision, comparedMs: 0, isEnding: false };
    const group = { query, waiters: new Set<Waiter>(), ...state };
    this.#groups.set(key, group);
    return group;
  }

  #add(group: Group, waiter: Waiter): void {
    group.waiters.add(waiter);
    this.#count++;
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  #remove(group: Group, waiter: Waiter): void {
    if (!group.waiters.delete(waiter)) return;
    if (group.waiters.size === 0) this.#groups.delete(keyOf(group.query));
    if (--this.#count > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks at the worker after the change in progress is complete. */
  #changed(): void {
    if (this.#count === 0) return;
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#tick();
    });
  }

  /** Ends the waits that must end now. */
  #tick(): void {
    const { residency } = this.#options;
    const nowMs = performance.now();
    const isNewPhase = residency.phase !== this.#phase;
    this.#phase = residency.phase;
    for (const group of this.#groups.values()) {
      const isReady = residency.couldBeReady(group.query.modelRef);
      const isChanged = residency.revision !== group.revision && nowMs >= group.comparedMs + changePeriodMs;
      group.isDue ||= isNewPhase || isReady !== group.wasReady || isChanged || this.#isEnding;
      group.wasReady = isReady;
      if (!group.isEnding && (group.isDue || isOver(group, nowMs))) void this.#end(group);
    }
  }

  /** Ends the waits of a group whose response is different now, or whose deadline has passed. */
  async #end(group: Group): Promise<void> {
    group.isEnding = true;
    try {
      this.#endWaits(group, await this.#compare(group));
    } catch (error) {
      for (const waiter of group.waiters) this.#endLater(group, waiter, () => waiter.reject(error));
    } finally {
      group.isEnding = false;
    }
    this.#changed();
  }

  /** Ends the waits that began before the response was made, and those whose time is over. */
  #endWaits(group: Group, response: ReadyResponse): void {
    const nowMs = performance.now();
    for (const waiter of group.waiters) {
      const { seen, deadlineMs, resolve } = waiter;
      const hasChanged = seen.etag !== response.etag && seen.revision <= response.revision;
      if (!hasChanged && deadlineMs > nowMs && !this.#isEnding) continue;
      this.#endLater(group, waiter, () => resolve(response));
    }
  }

  /** In slices: a thousand waits can end at once, and each resumes a request. */
  #endLater(group: Group, waiter: Waiter, end: () => void): void {
    this.#remove(group, waiter);
    this.#ends.add(end);
  }

  /** The current response, with which the waits are then compared. */
  async #compare(group: Group): Promise<ReadyResponse> {
    group.isDue = false;
    const response = await this.#options.cache.get({ ...group.query, askedAt: momentNow() });
    group.revision = response.revision;
    group.comparedMs = performance.now();
    return response;
  }
}

const isOver = ({ waiters }: Group, nowMs: number): boolean => {
  for (const { deadlineMs } of waiters) if (deadlineMs <= nowMs) return true;
  return false;
};
