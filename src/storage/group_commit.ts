/** What the writer missed while it could not write. */
export interface Outage {
  /** Best-effort items that were queued during it. */
  readonly late: number;
  /** Best-effort items that were dropped because the queue was full. */
  readonly dropped: number;
}

export interface GroupCommitOptions<T> {
  /**
   * Writes the first items, at least one if there are any, and syncs them. Returns how many it wrote. `outage` is set for
   * the first write after an outage. If it throws, none of the items is on disk. If `signal` aborts, it must throw.
   */
  readonly write: (items: readonly T[], signal: AbortSignal, outage: Outage | undefined) => Promise<number>;
  /** Checks, without a write, that the next write can succeed. */
  readonly check: () => Promise<void>;
  /** Makes the error of a refused item. */
  readonly unavailable: (cause: unknown) => Error;
  /** Called when `isWritable` changes: with the cause when it turns false, with undefined when it turns true. */
  readonly onChange: (cause: unknown) => void;
  readonly deadlineMs?: number;
}

interface Pending<T> {
  readonly item: T;
  /** Settles the caller's promise. A best-effort item without an error is written, or waits for the recovery. */
  readonly settle: (error?: Error) => void;
  readonly isRequired: boolean;
}

/** A write that takes longer counts as a hung disk. */
const defaultDeadlineMs = 5000;

/** Items of one write: few enough that the event loop formats them in a few milliseconds. */
const maxBatch = 128;

/** Items that wait. Beyond this, required items are refused and the oldest best-effort items are dropped. */
export const maxQueued = 4096;

/**
 * Commits items in groups: a single writer takes items that wait, up to 128, writes them with one call and syncs them
 * once. At most one operation is in flight. If one exceeds the deadline, all items are refused until it returns.
 */
export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>;
  readonly #deadlineMs: number;
  #queue: Pending<T>[] = [];
  #isWritable = true;
  #dropped = 0;
  /** The writer's loop, or a check. Ends by the deadline. */
  #work: Promise<void> | undefined;
  /** An operation beyond its deadline. Nothing else may begin until it returns. */
  #hung: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  }

  /** Whether the last operation succeeded. */
  get isWritable(): boolean {
    return this.#isWritable;
  }

  /** Resolves when the item is on disk. Rejects if it is not and never will be. */
  append(item: T): Promise<void> {
    if (this.#isClosed || this.#hung !== undefined || this.#isFull) {
      return Promise.reject(this.#options.unavailable(new Error('the queue is full, or the disk does not respond')));
    }
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => (error === undefined ? resolve() : reject(error));
      this.#enqueue({ item, settle, isRequired: true });
    });
  }

  /** Resolves when the item is on disk, or when it waits for the end of an outage. Never rejects. */
  appendBestEffort(item: T): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#enqueue({ item, settle: () => resolve(), isRequired: false });
      if (this.#hung !== undefined) resolve();
    });
  }

  /** After a failure, tries to write the queued items. Concurrent calls share an attempt that begins after the call. */
  async recover(): Promise<boolean> {
    if (!this.#isWritable) await this.#work;
    if (!this.#isWritable) await this.#start();
    return this.#isWritable;
  }

  /** Checks the file if nothing is being written, or tries to recover. Called every second. Never rejects. */
  async tick(): Promise<void> {
    if (this.#work !== undefined || this.#hung !== undefined || this.#isClosed) return;
    if (!this.#isWritable) return void (await this.recover());
    this.#work = this.#check().finally(() => this.#next());
    await this.#work;
  }

  /** Writes the queued items, then runs `finish`. Failures go to `onChange` only. Ends by the deadline. */
  async close(finish: () => Promise<void>): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    while (this.#work !== undefined) await this.#work;
    if (this.#queue.length > 0 || !this.#isWritable) await this.#start();
    if (this.#hung !== undefined) return;
    await this.#withDeadline(finish).catch((cause: unknown) => this.#options.onChange(cause));
  }

  /** Required items displace best-effort items. */
  get #isFull(): boolean {
    return this.#queue.length >= maxQueued && this.#queue.every(({ isRequired }) => isRequired);
  }

  #enqueue(pending: Pending<T>): void {
    this.#queue.push(pending);
    this.#dropExcess();
    void this.#start();
  }

  /** Starts the writer if it does not run. */
  #start(): Promise<void> {
    if (this.#hung !== undefined) return Promise.resolve();
    this.#work ??= this.#writeAll().finally(() => this.#next());
    return this.#work;
  }

  #next(): void {
    this.#work = undefined;
    if (this.#isWritable && this.#queue.length > 0) void this.#start();
  }

  async #writeAll(): Promise<void> {
    // All items that are appended in this turn of the event loop share the first write.
    await undefined;
    do {
      const batch = this.#queue.splice(0, maxBatch);
      try {
        const written = await this.#withDeadline((signal) => this.#write(batch, signal));
        this.#queue.unshift(...batch.slice(written));
        this.#setWritable(true);
        for (const { settle } of batch.slice(0, written)) settle();
      } catch (cause) {
        this.#fail(batch, cause);
        return;
      }
    } while (this.#queue.length > 0);
  }

  async #write(batch: readonly Pending<T>[], signal: AbortSignal): Promise<number> {
    const items = batch.map(({ item }) => item);
    const dropped = this.#dropped;
    const outage = this.#isWritable && dropped === 0 ? undefined : { late: this.#late(batch), dropped };
    const written = await this.#options.write(items, signal, outage);
    this.#dropped -= dropped;
    return written;
  }

  #late(batch: readonly Pending<T>[]): number {
    return [...batch, ...this.#queue].filter(({ isRequired }) => !isRequired).length;
  }

  async #check(): Promise<void> {
    try {
      await this.#withDeadline(this.#options.check);
    } catch (cause) {
      this.#fail([], cause);
    }
  }

  /** Refuses all required items. The best-effort items wait, those of the batch first. */
  #fail(batch: readonly Pending<T>[], cause: unknown): void {
    const failed = [...batch, ...this.#queue];
    this.#queue = failed.filter(({ isRequired }) => !isRequired);
    this.#dropExcess();
    this.#setWritable(false, cause);
    for (const { isRequired, settle } of failed) settle(isRequired ? this.#options.unavailable(cause) : undefined);
  }

  #dropExcess(): void {
    while (this.#queue.length > maxQueued) {
      const oldest = this.#queue.findIndex(({ isRequired }) => !isRequired);
      for (const { settle } of this.#queue.splice(oldest, 1)) settle();
      this.#dropped++;
    }
  }

  /** Rejects at the deadline. The operation may return later; `signal` tells it that its result is no longer wanted. */
  #withDeadline<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const abort = new AbortController();
    const operation = work(abort.signal);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#hung = operation.then(ignore, ignore).then(() => this.#unhang());
        const error = new Error(`the disk did not respond within ${this.#deadlineMs} ms`);
        abort.abort(error);
        reject(error);
      }, this.#deadlineMs);
      operation.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  #unhang(): void {
    this.#hung = undefined;
    if (!this.#isClosed) void this.recover();
  }

  #setWritable(isWritable: boolean, cause?: unknown): void {
    if (this.#isWritable === isWritable) return;
    this.#isWritable = isWritable;
    this.#options.onChange(cause);
  }
}

const ignore = (): void => undefined;
