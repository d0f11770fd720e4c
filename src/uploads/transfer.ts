import type { Ingest } from '../residency/commit/ingest.js';
import type { Sender, UploadSink } from './sender.js';

/**
 * Moves the bytes of one request into a commit. The commit holds its slots only during the transfer, and is paused
 * afterwards unless it is complete.
 */
export class Transfer {
  readonly #ingest: Ingest;
  readonly #sender: Sender;
  readonly #totalBytes: number;
  readonly #ended = new AbortController();
  /** The last write. The sender may leave before it settles. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(ingest: Ingest, sender: Sender, totalBytes: number) {
    this.#ingest = ingest;
    this.#sender = sender;
    this.#totalBytes = totalBytes;
  }

  /** Closes the connection: `run` then rejects with the reason. */
  end(reason: unknown): void {
    this.#ended.abort(reason);
    this.#sender.close();
  }

  /** @throws WorkerError TOO_MANY_COMMITS, the errors of the sender and of the driver. The bytes before stay. */
  async run(): Promise<void> {
    const { signal } = this.#ingest;
    const onFailure = () => this.#ended.abort(signal.reason);
    const onLeave = () => this.#ended.abort(this.#sender.signal.reason);
    signal.addEventListener('abort', onFailure);
    this.#sender.signal.addEventListener('abort', onLeave);
    if (this.#sender.signal.aborted) onLeave();
    try {
      await this.#ingest.resume(this.#ended.signal);
      await this.#send();
    } finally {
      signal.removeEventListener('abort', onFailure);
    }
  }

  async #send(): Promise<void> {
    const ingest = this.#ingest;
    const sent = this.#sender.send(this.#sink(), this.#totalBytes - ingest.receivedBytes);
    const failure = await sent.then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    await this.#writing.catch(() => undefined);
    const isComplete = ingest.receivedBytes === this.#totalBytes;
    if (!isComplete) await ingest.pause();
    if (failure !== undefined && !isComplete) throw failure.error;
  }

  #sink(): UploadSink {
    const ingest = this.#ingest;
    const write = (chunk: Uint8Array): Promise<void> | undefined => {
      const written = ingest.write(chunk);
      if (written !== undefined) this.#writing = written;
      return written;
    };
    const receive = (descriptor: number, maxBytes: number): Promise<number> => {
      const received = ingest.receive(descriptor, maxBytes);
      this.#writing = received;
      return received;
    };
    return {
      write,
      receive,
      signal: this.#ended.signal,
      get othersWait() {
        return ingest.othersWait;
      },
    };
  }
}
