/**
 * SIGTERM and SIGINT. The first starts the shutdown, and a second one aborts the commits in progress. Neither ends the
 * process before the memory is wiped.
 */
export class StopSignals {
  /** Resolves with the first signal. */
  readonly first: Promise<NodeJS.Signals>;
  #count = 0;

  constructor() {
    this.first = new Promise((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        process.on(signal, () => {
          this.#count += 1;
          resolve(signal);
        });
      }
    });
  }

  /** Whether a second signal arrived. */
  get forced(): boolean {
    return this.#count > 1;
  }
}
