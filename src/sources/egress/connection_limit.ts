/** Bounds the connections of one source that are open at the same time. Further requests wait in order. */
export class ConnectionLimit {
  readonly #maxConnections: number;
  readonly #waiting = new Set<() => void>();
  #open = 0;

  constructor(maxConnections: number) {
    this.#maxConnections = maxConnections;
  }

  get openCount(): number {
    return this.#open;
  }

  /** Waits for a connection. The returned function gives it back, once. @throws the reason of the signal */
  async acquire(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#open >= this.#maxConnections || this.#waiting.size > 0) await this.#turn(signal);
    else this.#open += 1;
    let isHeld = true;
    return () => {
      if (isHeld) this.#release();
      isHeld = false;
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(grant);
        reject(signal.reason);
      };
      const grant = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(grant);
    });
  }

  /** The next waiter takes the connection over, so that a new request cannot overtake it. */
  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#open -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
