/**
 * SIGTERM and SIGINT. The first asks the worker to stop; a further one, to give up the commits that it still waits for.
 * None ends the process by itself: memory is wiped first.
 */
export class StopSignals {
  /** The first of them, whenever it comes. */
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

  /** Whether somebody is losing patience. */
  get forced(): boolean {
    return this.#count > 1;
  }
}
