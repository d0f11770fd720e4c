import type { Readable } from 'node:stream';
import { WorkerError } from '../../errors.js';
import type { DirectRead } from './direct_read.js';
import { type ContendedRate, StallTimer } from './stall_timer.js';

/** Receives the bytes. */
export interface Sink {
  /** Takes a chunk. If it returns a promise, the next chunk must wait for it. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Aborts, with the reason, if the sink takes no more bytes. */
  readonly signal: AbortSignal;
}

export interface StreamOptions {
  /** The length of the body. */
  readonly declaredBytes: number;
  /** The body may be shorter. */
  readonly mayEndEarly?: boolean;
  readonly idleSeconds: number;
  /** The minimum rate while other commits wait. */
  readonly contended?: ContendedRate | undefined;
  /** Reads the fast parts of the body without Node. */
  readonly directRead?: DirectRead | undefined;
}

/** A direct read pays off after a chunk of this size, if this many bytes remain. */
const minFastChunkBytes = 32 * 1024;
const minRemainingBytes = 1024 * 1024;

/**
 * Moves a request's body into a sink at the speed of the sink, and buffers only the current chunk. On failure it leaves
 * the source paused: the caller handles the rest.
 *
 * @throws WorkerError LENGTH_MISMATCH if the body is too short or too long, or the client disconnects; UPLOAD_TIMEOUT if it
 * stalls; and any error of the sink
 */
export const streamBody = (source: Readable, sink: Sink, options: StreamOptions): Promise<void> =>
  new BodyStream(source, sink, options).run();

/**
 * - `reading`: chunks of the source go to the sink.
 * - `paused`: waits for the sink, or for a direct read.
 * - `settled`: the promise of `run` is resolved or rejected.
 */
type State = 'reading' | 'paused' | 'settled';

class BodyStream {
  readonly #source: Readable;
  readonly #sink: Sink;
  readonly #options: StreamOptions;
  readonly #stallTimer: StallTimer;
  #state: State = 'reading';
  /** After a direct read Node does not know where the body ends. */
  #endIsHidden = false;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(source: Readable, sink: Sink, options: StreamOptions) {
    this.#source = source;
    this.#sink = sink;
    this.#options = options;
    const onStall = (detail: string) => this.#fail(new WorkerError('UPLOAD_TIMEOUT', detail));
    this.#stallTimer = new StallTimer(options.idleSeconds, onStall, options.contended);
  }

  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#sink.signal.addEventListener('abort', this.#onAbort);
      this.#source.on('data', this.#onData).once('end', this.#onEnd);
      this.#source.once('close', this.#onDisconnect).once('error', this.#onDisconnect);
      if (this.#sink.signal.aborted) this.#onAbort();
      else if (this.#source.destroyed) this.#onDisconnect();
    });
  }

  get #remainingBytes(): number {
    return this.#options.declaredBytes - this.#stallTimer.bytes;
  }

  readonly #onData = (chunk: Buffer): void => {
    const part = this.#endIsHidden ? chunk.subarray(0, this.#remainingBytes) : chunk;
    this.#stallTimer.bytes += part.length;
    try {
      if (this.#remainingBytes < 0) throw this.#lengthMismatch('The body is longer than declared:');
      const { directRead } = this.#options;
      const isFast = part.length >= minFastChunkBytes && this.#remainingBytes >= minRemainingBytes;
      const ready = this.#sink.write(part);
      if (ready !== undefined) this.#pauseUntil(ready);
      else if (isFast && directRead !== undefined) this.#pauseUntil(this.#readDirectly(directRead));
      else this.#finishIfComplete();
    } catch (error) {
      this.#fail(error);
    }
  };

  readonly #onEnd = (): void => {
    const isShort = this.#remainingBytes > 0 && this.#options.mayEndEarly !== true;
    if (isShort) this.#fail(this.#lengthMismatch('The body is shorter than declared:'));
    else if (this.#settle()) this.#resolve();
  };

  readonly #onDisconnect = (): void => this.#fail(this.#lengthMismatch('The client disconnected:'));

  readonly #onAbort = (): void => this.#fail(this.#sink.signal.reason);

  async #readDirectly(directRead: DirectRead): Promise<void> {
    const bytes = await directRead();
    this.#endIsHidden ||= bytes > 0;
    this.#stallTimer.bytes += bytes;
  }

  #pauseUntil(ready: Promise<void>): void {
    this.#state = 'paused';
    this.#source.pause();
    this.#stallTimer.paused = true;
    ready.then(
      () => this.#resume(),
      (error) => this.#fail(error),
    );
  }

  #resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'reading';
    this.#stallTimer.paused = false;
    this.#finishIfComplete();
    if (this.#state === 'reading') this.#source.resume();
  }

  #finishIfComplete(): void {
    if (this.#endIsHidden && this.#remainingBytes === 0) this.#onEnd();
  }

  #fail(error: unknown): void {
    if (!this.#settle()) return;
    this.#source.pause();
    this.#reject(error);
  }

  /** Returns false if it was settled before. */
  #settle(): boolean {
    if (this.#state === 'settled') return false;
    this.#state = 'settled';
    this.#stallTimer.stop();
    this.#source.off('data', this.#onData).off('end', this.#onEnd);
    this.#source.off('close', this.#onDisconnect).off('error', this.#onDisconnect);
    this.#sink.signal.removeEventListener('abort', this.#onAbort);
    return true;
  }

  #lengthMismatch(problem: string): WorkerError {
    const { declaredBytes } = this.#options;
    return new WorkerError('LENGTH_MISMATCH', `${problem} ${this.#stallTimer.bytes} of ${declaredBytes} bytes arrived`);
  }
}
