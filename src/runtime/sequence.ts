/** Runs jobs one after another, in the order of the calls. */
export class Sequence {
  #last: Promise<unknown> = Promise.resolve();

  /** Settles as the job does. A job that fails does not affect the next one. */
  run<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#last.then(job);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
