/** A file system did not respond in time. `name` is the setting of the file, or the file's name for errors. */
export class FileTimeoutError extends Error {
  override readonly name = 'FileTimeoutError';

  constructor(name: string, seconds: number) {
    super(`${name}: its file system did not respond within ${seconds} seconds`);
  }
}

/**
 * Calls of the file system off the event loop, each with a time limit. Node cannot cancel a call that hangs. Until it
 * returns, further calls fail at once, so a file system that hangs occupies one thread of libuv's pool.
 */
export class FileCalls {
  readonly #timeoutSeconds: number;
  /** A call beyond its limit that has not returned. */
  #hung: FileTimeoutError | undefined;

  constructor(timeoutSeconds: number) {
    this.#timeoutSeconds = timeoutSeconds;
  }

  /**
   * Runs `work`, which makes one call after another. Errors call the file `name`. Of the time limit, `waitedMs` are over.
   * @throws FileTimeoutError, and the errors of `work`
   */
  run<T>(name: string, work: () => Promise<T>, waitedMs = 0): Promise<T> {
    if (this.#hung !== undefined) return Promise.reject(this.#hung);
    const limitMs = this.#timeoutSeconds * 1000 - waitedMs;
    if (limitMs <= 0) return Promise.reject(new FileTimeoutError(name, this.#timeoutSeconds));
    const running = work();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const error = new FileTimeoutError(name, this.#timeoutSeconds);
        this.#hung = error;
        reject(error);
        running
          .then(discard, () => undefined)
          .finally(() => {
            this.#hung = undefined;
          });
      }, limitMs);
      running.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }
}

/** A result that came too late may be a secret. */
function discard(result: unknown): void {
  if (result instanceof Uint8Array) result.fill(0);
}
