/** Counts the changes of an object, and wakes those that wait for the next one. */
export class Changes {
  readonly #waiters = new Set<() => void>();
  #revision = 1;

  get revision(): number {
    return this.#revision;
  }

  bump(): void {
    this.#revision++;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  /** Resolves when the revision is not `seen` any more, when the signal aborts, or after `maxMs`. */
  async after(seen: number, signal: AbortSignal, maxMs: number): Promise<void> {
    if (this.#revision !== seen || signal.aborted || maxMs <= 0) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, maxMs);
      this.#waiters.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
