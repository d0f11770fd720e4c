import { WorkerError } from '../../errors.js';

/** A place in the queue for a commit slot. */
export interface CommitSlot {
  /** Resolves when the slot is ours; rejects with the reason given to `cancel` if that comes first. */
  ready(): Promise<void>;
  /** Leaves the queue; does nothing once the slot is ours. */
  cancel(reason: unknown): void;
  /** Gives the slot to the next. Idempotent. */
  release(): void;
}

interface Waiting {
  readonly grant: () => void;
  readonly refuse: (reason: unknown) => void;
}

/** A fixed number of commit slots, and a bounded queue of admitted commits before them, first come first served. */
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

  /** @throws WorkerError TOO_MANY_COMMITS when slots and queue are full */
  acquire(): CommitSlot {
    if (this.#active < this.#slots) {
      this.#active++;
      return this.#turn(Promise.resolve(), undefined);
    }
    if (this.#queue.size >= this.#queueLimit) {
      throw new WorkerError('TOO_MANY_COMMITS', 'too many commits are waiting', { retryAfterMs: 1000 });
    }
    let place: Waiting | undefined;
    const granted = new Promise<void>((grant, refuse) => {
      place = { grant, refuse };
      this.#queue.add(place);
    });
    granted.catch(() => undefined);
    return this.#turn(granted, place);
  }

  #turn(granted: Promise<void>, place: Waiting | undefined): CommitSlot {
    let left = false;
    return {
      ready: () => granted,
      cancel: (reason) => {
        if (left || place === undefined || !this.#queue.delete(place)) return;
        left = true;
        place.refuse(reason);
      },
      release: () => {
        if (left) return;
        left = true;
        this.#passOn();
      },
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
