/** Those that wait for a change. */
export class Waiters {
  readonly #wakes = new Set<() => void>();

  /** Resolves at the next `wake`, when the signal aborts, or after `maxMs` milliseconds. */
  wait(maxMs?: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = maxMs === undefined ? undefined : setTimeout(wake, maxMs);
      signal?.addEventListener('abort', wake);
      this.#wakes.add(wake);
    });
  }

  wake(): void {
    for (const wake of [...this.#wakes]) wake();
  }
}
