import { nextSlice } from '../../residency/state/time_slices.js';

/** Jobs that run before the time is checked. Each takes a fraction of a millisecond. */
const checkedJobs = 8;

/**
 * Runs jobs in the order of the calls, in slices of each turn of the event loop. Between two turns the worker reads and answers
 * other requests, so a thousand jobs at once do not delay them. A job must not throw.
 */
export class TurnQueue {
  readonly #jobs: (() => void)[] = [];
  #isRunning = false;

  add(job: () => void): void {
    this.#jobs.push(job);
    if (!this.#isRunning) void this.#run();
  }

  /** Resolves in the turn of the caller. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.add(resolve));
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#jobs.length > 0) {
      await nextSlice();
      for (const job of this.#jobs.splice(0, checkedJobs)) job();
    }
    this.#isRunning = false;
  }
}
