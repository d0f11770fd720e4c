import { WorkerError } from '../../errors.js';

/** A commit's place in the queue, and later its slot. */
export interface CommitSlot {
  /** Resolves when the commit holds a slot. Rejects with the reason of an earlier `cancel`. */
  ready(): Promise<void>;
  /** Leaves the queue. Has no effect once the commit holds a slot. */
  cancel(reason: unknown): void;
  /** Passes the slot to the next commit in the queue. Idempotent. */
  release(): void;
  /** Whether other commits wait for a slot. */
  othersWait(): boolean;
  /**
   * A new place at the end of the queue, for a commit that has released this one. `queueLimit` is as for `acquire`.
   * @throws WorkerError TOO_MANY_COMMITS
   */
  again(queueLimit?: number): CommitSlot;
}

interface Waiting {
  readonly grant: () => void;
  readonly refuse: (reason: unknown) => void;
}

/** A fixed number of commit slots behind a bounded queue, first come first served. */
export class CommitQueue {
  readonly #slots: number;
  readonly #queueLimit: number;
  readonly #queue = new Set<Waiting>();
  #active = 0;

  constructor(slots: number, queueLimit: number) {
    this.#slots = slots;
    this.#queueLimit = queueLimit;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /**
   * `queueLimit` replaces the limit, for callers whose number is bounded elsewhere.
   * @throws WorkerError TOO_MANY_COMMITS if slots and queue are full
   */
  acquire(queueLimit = this.#queueLimit): CommitSlot {
    if (this.#active < this.#slots) {
      this.#active++;
      return this.#slot(Promise.resolve(), undefined);
    }
    if (this.#queue.size >= queueLimit) {
      throw new WorkerError('TOO_MANY_COMMITS', 'Too many commits are waiting', { retryAfterMs: 1000 });
    }
    let place: Waiting | undefined;
    const ready = new Promise<void>((grant, refuse) => {
      place = { grant, refuse };
      this.#queue.add(place);
    });
    ready.catch(() => undefined);
    return this.#slot(ready, place);
  }

  #slot(ready: Promise<void>, place: Waiting | undefined): CommitSlot {
    let released = false;
    return {
      ready: () => ready,
      cancel: (reason) => {
        if (released || place === undefined || !this.#queue.delete(place)) return;
        released = true;
        place.refuse(reason);
      },
      release: () => {
        if (released) return;
        released = true;
        this.#passOn();
      },
      othersWait: () => this.#queue.size > (place !== undefined && this.#queue.has(place) ? 1 : 0),
      again: (queueLimit) => this.acquire(queueLimit),
    };
  }

  #passOn(): void {
    const [next] = this.#queue;
    if (next === undefined) {
      this.#active--;
      return;
    }
    this.#queue.delete(next);
    next.grant();
  }
}
