import { Readable } from 'node:stream';

/** The bytes that are written in one turn of the event loop. */
const partBytes = 256 * 1024;

/** Whether a body is so long that its bytes are written in parts. */
export const isLong = (bytes: number): boolean => bytes > partBytes;

/**
 * Streams buffers in parts, without a copy. Each part is written when the client has read most of those before, in its
 * own turn of the event loop. With TLS, only that part is also in memory in its encrypted form.
 */
export class BufferStream extends Readable {
  readonly #parts: Generator<Buffer>;
  #turn: NodeJS.Immediate | undefined;

  constructor(buffers: readonly Buffer[]) {
    super({ highWaterMark: partBytes });
    this.#parts = partsOf(buffers);
  }

  override _read(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.push(this.#parts.next().value ?? null);
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearImmediate(this.#turn);
    done(error);
  }
}

function* partsOf(buffers: readonly Buffer[]): Generator<Buffer, undefined> {
  for (const buffer of buffers) {
    for (let start = 0; start < buffer.length; start += partBytes) yield buffer.subarray(start, start + partBytes);
  }
}
