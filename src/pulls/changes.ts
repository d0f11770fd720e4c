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

  /** Resolves when the revision is not `seen` any more, or when the signal aborts. */
  async after(seen: number, signal: AbortSignal): Promise<void> {
    if (this.#revision !== seen || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#waiters.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
