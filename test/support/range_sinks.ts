import { setImmediate as nextTurn } from 'node:timers/promises';
import { AbortScope } from '../../src/sources/egress/abort_scope.js';
import type { ByteSink } from '../../src/sources/egress/byte_sink.js';
import type { ByteRange } from '../../src/sources/egress/range_response.js';
import { type RangedSink, type RangeWriter, rangeAlignmentBytes } from '../../src/sources/ranged_sink.js';
import type { RangedSource } from '../../src/sources/ranged_source.js';

/** A sink in memory, which refuses what libvram refuses: overlaps, gaps within a group, and overlapping calls. */
export class MemorySink implements RangedSink {
  readonly bytes: Buffer;
  readonly #written: ByteRange[] = [];
  readonly maxWriters: number;
  readonly aborted = new AbortController();
  readonly signal = this.aborted.signal;
  readonly writers: MemoryWriter[] = [];

  constructor(
    readonly totalBytes: number,
    maxWriters: number,
  ) {
    this.bytes = Buffer.alloc(totalBytes);
    this.maxWriters = maxWriters;
  }

  write(): never {
    throw new Error('bytes must be written by a writer');
  }

  async openWriter(): Promise<RangeWriter | undefined> {
    if (this.writers.length === this.maxWriters) return undefined;
    const writer = new MemoryWriter(this);
    this.writers.push(writer);
    return writer;
  }

  store(offset: number, chunk: Uint8Array): void {
    this.bytes.set(chunk, offset);
    this.#written.push({ offset, length: chunk.length });
  }

  /** Whether each byte was written once. */
  get isComplete(): boolean {
    let end = 0;
    for (const { offset, length } of this.#written.toSorted((a, b) => a.offset - b.offset)) {
      if (offset !== end) return false;
      end += length;
    }
    return end === this.totalBytes;
  }
}

class MemoryWriter implements RangeWriter {
  readonly #sink: MemorySink;
  #offset = 0;
  #isBusy = false;

  constructor(sink: MemorySink) {
    this.#sink = sink;
  }

  async begin(offset: number): Promise<void> {
    const isWhole = (at: number) => at % rangeAlignmentBytes === 0 || at === this.#sink.totalBytes;
    if (this.#isBusy || !isWhole(offset) || !isWhole(this.#offset)) throw new Error(`no range begins at ${offset}`);
    this.#offset = offset;
  }

  /** Takes every second chunk later, as a device would. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#isBusy) throw new Error('calls of one writer overlap');
    if (chunk.length > 0) this.#sink.store(this.#offset, chunk);
    this.#offset += chunk.length;
    if (chunk.length % 2 === 0) return undefined;
    this.#isBusy = true;
    return nextTurn().then(() => {
      this.#isBusy = false;
    });
  }

  async flush(): Promise<void> {
    if (this.#isBusy) throw new Error('calls of one writer overlap');
  }
}

/** Sends the bytes of one transfer. `number` counts the transfers, from 1. */
export type Send = (sink: ByteSink, range: ByteRange, signal: AbortSignal, number: number) => Promise<void>;

/** A source whose transfers a test writes. */
export class ScriptedSource implements RangedSource {
  readonly etag = undefined;
  readonly claim = undefined;
  readonly supportsRanges = true;
  readonly ranges: ByteRange[] = [];
  readonly #send: Send;

  constructor(
    readonly totalBytes: number,
    send: Send,
  ) {
    this.#send = send;
  }

  async copyTo(sink: ByteSink, range: ByteRange, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    this.ranges.push(range);
    const number = this.ranges.length;
    const scope = new AbortScope(signal);
    sink.signal?.addEventListener('abort', () => scope.abort(sink.signal?.reason), { once: true });
    try {
      await this.#send(sink, range, scope.signal, number);
      scope.signal.throwIfAborted();
    } finally {
      scope.dispose();
    }
  }

  close(): void {}
}
