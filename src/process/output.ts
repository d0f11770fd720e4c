import { write } from 'node:fs';

/** The kinds of text. A kind that is dropped later has a higher bound. */
export type OutputKind = 'request' | 'worker' | 'error';

/** Receives each line that was dropped because too many wait. */
export type OnDrop = (kind: OutputKind) => void;

const mebibyte = 1024 ** 2;

/** The bytes of each kind that may wait. Errors may also use the space of the other kinds. */
const maxWaitingBytes = { request: mebibyte, worker: mebibyte, all: 4 * mebibyte } as const;

/** The bytes of one write. */
const maxWriteBytes = 64 * 1024;

/** Time until a failed write is repeated. A full pipe (EAGAIN) usually has room again soon. */
const defaultRetryMs = { full: 20, failed: 1000 };

/** How long a line of a request waits for others. Each write occupies a thread and the event loop. */
const gatherMs = 10;

interface Line {
  readonly kind: OutputKind;
  readonly bytes: Buffer;
}

/**
 * Standard output or standard error, of any type: file, pipe, socket or terminal. `put` never blocks and never throws.
 * Lines wait in memory, in order, while the reader pauses or a write fails. Beyond a bound per kind they are dropped.
 * One write runs at a time, on a pool thread, so a destination that hangs costs one thread.
 */
export class Output {
  readonly #descriptor: number;
  readonly #write: typeof write;
  readonly #retryMs: typeof defaultRetryMs;
  readonly #waitingBytes = { request: 0, worker: 0, error: 0 };
  readonly #idle: (() => void)[] = [];
  #onDrop: OnDrop = () => undefined;
  #waiting: Line[] = [];
  /** The rest of the current write. */
  #current: Buffer = Buffer.alloc(0);
  #state: 'idle' | 'gathering' | 'writing' | 'failed' = 'idle';
  #gathering: NodeJS.Timeout | undefined;

  /** `writeFile` replaces `fs.write` in tests. */
  constructor(descriptor: number, writeFile: typeof write = write, retryMs = defaultRetryMs) {
    this.#descriptor = descriptor;
    this.#write = writeFile;
    this.#retryMs = retryMs;
  }

  /** Calls `onDrop` for each line that is dropped from now on. */
  observe(onDrop: OnDrop): void {
    this.#onDrop = onDrop;
  }

  /** Everything is written. */
  get isIdle(): boolean {
    return this.#state === 'idle';
  }

  /** Writes text soon, a request's line within 10 ms, or drops it. */
  put(text: string, kind: OutputKind): void {
    const bytes = Buffer.from(text);
    if (!this.#hasRoom(bytes.length, kind)) return void this.#onDrop(kind);
    this.#waitingBytes[kind] += bytes.length;
    this.#waiting.push({ kind, bytes });
    if (this.#state === 'idle' && kind === 'request') this.#gather();
    else if (this.#state === 'idle' || (this.#state === 'gathering' && kind !== 'request')) this.#next();
  }

  /** Resolves when everything is written, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    if (this.#state === 'gathering') this.#next();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #hasRoom(bytes: number, kind: OutputKind): boolean {
    const { request, worker, error } = this.#waitingBytes;
    if (kind === 'error') return request + worker + error + bytes <= maxWaitingBytes.all;
    return this.#waitingBytes[kind] + bytes <= maxWaitingBytes[kind];
  }

  #gather(): void {
    this.#state = 'gathering';
    this.#gathering = setTimeout(() => this.#next(), gatherMs);
  }

  #next(): void {
    clearTimeout(this.#gathering);
    if (this.#current.length === 0) this.#current = this.#take();
    if (this.#current.length === 0) {
      this.#state = 'idle';
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#state = 'writing';
    this.#write(this.#descriptor, this.#current, 0, this.#current.length, null, (error, written) => {
      if (error === null && written > 0) {
        this.#current = this.#current.subarray(written);
        return this.#next();
      }
      this.#state = 'failed';
      setTimeout(() => this.#next(), error?.code === 'EAGAIN' ? this.#retryMs.full : this.#retryMs.failed).unref();
    });
  }

  /** The next lines to write, of which the last can exceed the size of a write. */
  #take(): Buffer {
    let bytes = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (bytes >= maxWriteBytes) break;
      this.#waitingBytes[line.kind] -= line.bytes.length;
      bytes += line.bytes.length;
      count += 1;
    }
    return Buffer.concat(this.#waiting.splice(0, count).map((line) => line.bytes));
  }
}

/** The process's own streams. Node's `process.stdout` blocks on files and on some pipes, and throws if a write fails. */
export const standardOutput = new Output(1);
export const standardError = new Output(2);
