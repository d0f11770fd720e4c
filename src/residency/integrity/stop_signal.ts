const periodMs = 50;

/** A signal for work that a condition ends: it aborts with the error of a function that is called 20 times a second. */
export class StopSignal {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(throwIfStopped: () => void) {
    this.#timer = setInterval(() => {
      try {
        throwIfStopped();
      } catch (error) {
        this.#controller.abort(error);
        this.dispose();
      }
    }, periodMs).unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  dispose(): void {
    clearInterval(this.#timer);
  }
}
