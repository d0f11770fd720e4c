import { Waiters } from '../runtime/waiters.js';

/** Counts the changes of an object, and wakes those that wait for the next one. */
export class Changes {
  readonly #waiters = new Waiters();
  #revision = 1;

  get revision(): number {
    return this.#revision;
  }

  bump(): void {
    this.#revision++;
    this.#waiters.wake();
  }

  /** Resolves when the revision is no longer `seen`, when the signal aborts, or after `maxMs`. */
  async after(seen: number, signal: AbortSignal, maxMs: number): Promise<void> {
    if (this.#revision !== seen || signal.aborted || maxMs <= 0) return;
    await this.#waiters.wait(maxMs, signal);
  }
}
