import type { ByteSink } from './byte_sink.js';

/** Drops the first bytes of a transfer, for a server that cannot begin in the middle. */
export class SkippingSink implements ByteSink {
  readonly signal: AbortSignal | undefined;
  readonly #sink: ByteSink;
  #skipBytes: number;

  constructor(sink: ByteSink, skipBytes: number) {
    this.signal = sink.signal;
    this.#sink = sink;
    this.#skipBytes = skipBytes;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    const skipped = Math.min(this.#skipBytes, chunk.length);
    this.#skipBytes -= skipped;
    return skipped === chunk.length ? undefined : this.#sink.write(chunk.subarray(skipped));
  }
}
