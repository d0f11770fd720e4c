import type { Clock } from './clock.js';

/**
 * A signal for one step of a transfer. It aborts with the outer signal, at a deadline, or by `abort`. Unlike
 * `AbortSignal.any`, it leaves nothing on the outer signal once it is disposed.
 */
export class AbortScope {
  readonly #controller = new AbortController();
  readonly #cleanups: (() => void)[] = [];

  constructor(outer?: AbortSignal) {
    if (outer === undefined) return;
    const onAbort = () => this.abort(outer.reason);
    if (outer.aborted) {
      onAbort();
      return;
    }
    outer.addEventListener('abort', onAbort, { once: true });
    this.#cleanups.push(() => outer.removeEventListener('abort', onAbort));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts with the error after `ms`. The returned function cancels it. */
  abortAfter(clock: Clock, ms: number, error: () => unknown): () => void {
    const cancel = clock.after(Math.max(0, ms), () => this.abort(error()));
    this.#cleanups.push(cancel);
    return cancel;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
    this.dispose();
  }

  /** Removes the timers and the listener. */
  dispose(): void {
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }
}

/** The value of a promise. @throws the reason of the signal, if it aborts first; the promise then has no effect */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
