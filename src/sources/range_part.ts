import type { ByteSink, HostFile } from './egress/byte_sink.js';
import type { ByteRange } from './egress/range_response.js';
import { type RangeWriter, rangeAlignmentBytes } from './ranged_sink.js';

/** Bytes of one native read. Only later bytes can be given to another connection. */
const sliceBytes = 8 * 1024 * 1024;

/** Why a transfer of a part was ended although the part is not complete, or no longer has those bytes. */
class Interrupted extends Error {}

/**
 * One range on its way into a writer. Another connection can take its end over, and the rest can continue on a new
 * connection.
 */
export class RangePart implements ByteSink {
  readonly receive?: (descriptor: number, maxBytes: number) => Promise<number>;
  readonly file?: (file: HostFile, range: ByteRange) => Promise<void>;
  readonly #writer: RangeWriter;
  readonly #nowMs: () => number;
  #offset: number;
  #end: number;
  /** A native read may take the bytes up to here. */
  #readUntil: number;
  #transfer = new AbortController();
  #pending: Promise<unknown> = Promise.resolve();
  #since: { readonly offset: number; readonly ms: number };
  #restarts = 0;
  #isSplit = false;

  constructor(writer: RangeWriter, { offset, length }: ByteRange, nowMs: () => number) {
    this.#writer = writer;
    this.#nowMs = nowMs;
    this.#offset = offset;
    this.#end = offset + length;
    this.#readUntil = offset;
    this.#since = { offset, ms: nowMs() };
    const { receive, file } = writer;
    if (receive !== undefined)
      this.receive = (descriptor, maxBytes) => this.#track(this.#receive(descriptor, maxBytes));
    if (file !== undefined) this.file = (source) => this.#track(this.#readFile(source));
  }

  get signal(): AbortSignal {
    return this.#transfer.signal;
  }

  /** The bytes that are still missing. */
  get rest(): ByteRange {
    return { offset: this.#offset, length: this.#end - this.#offset };
  }

  /** Bytes of the current connection. */
  get doneBytes(): number {
    return this.#offset - this.#since.offset;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** How long the current connection has had. */
  get ageMs(): number {
    return this.#nowMs() - this.#since.ms;
  }

  /** The average since the current connection was requested. */
  get bytesPerMs(): number {
    return this.doneBytes / Math.max(1, this.ageMs);
  }

  /** When the rest is due at that rate. */
  get dueMs(): number {
    return this.rest.length / this.bytesPerMs;
  }

  /** Begins the range, and reads it by `copy`, which is called again after a restart. @throws what `copy` throws */
  async fill(copy: (rest: ByteRange) => Promise<void>): Promise<void> {
    await this.#writer.begin(this.#offset);
    while (this.rest.length > 0) {
      this.#transfer = new AbortController();
      this.#since = { offset: this.#offset, ms: this.#nowMs() };
      const { signal } = this;
      try {
        await copy(this.rest);
        if (this.rest.length > 0 && !signal.aborted) throw new RangeError('the source ended a range early');
      } catch (error) {
        if (!(error instanceof Interrupted) || error !== signal.reason) throw error;
      } finally {
        // The writer takes one call at a time, and a call outlives its connection.
        await this.#pending.catch(() => undefined);
      }
    }
    await this.#writer.flush();
  }

  /** Continues on a new connection. */
  restart(): void {
    this.#restarts++;
    this.#transfer.abort(new Interrupted('the range continues on another connection'));
  }

  /** Gives away the second half of what no read has begun. Undefined if that is too little to divide. */
  split(): ByteRange | undefined {
    const free = Math.max(this.#offset, this.#readUntil) + 1;
    const middle = alignUp(free + (this.#end - free) / 2);
    if (middle >= this.#end) return undefined;
    const given = { offset: middle, length: this.#end - middle };
    this.#end = middle;
    this.#isSplit = true;
    return given;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    const left = this.#end - this.#offset;
    const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
    this.#offset += part.length;
    const ready = this.#writer.write(part);
    if (ready === undefined) {
      this.#endIfComplete();
      return undefined;
    }
    return this.#track(ready.then(() => this.#endIfComplete()));
  }

  async #receive(descriptor: number, maxBytes: number): Promise<number> {
    let done = 0;
    while (done < maxBytes && this.#offset < this.#end && !this.signal.aborted) {
      const bytes = Math.min(sliceBytes, maxBytes - done, this.#end - this.#offset);
      this.#readUntil = this.#offset + bytes;
      const received = (await this.#writer.receive?.(descriptor, bytes)) ?? 0;
      this.#offset += received;
      done += received;
      if (received < bytes) break;
    }
    this.#endIfComplete();
    return done;
  }

  async #readFile(file: HostFile): Promise<void> {
    while (this.#offset < this.#end && !this.signal.aborted) {
      const { offset, length } = this.rest;
      const bytes = Math.min(sliceBytes, length);
      this.#readUntil = offset + bytes;
      await this.#writer.file?.(file, { offset, length: bytes });
      this.#offset += bytes;
    }
  }

  #track<T>(call: Promise<T>): Promise<T> {
    this.#pending = call;
    call.catch(() => undefined);
    return call;
  }

  /** After a split the connection would bring bytes that another one fetches. */
  #endIfComplete(): void {
    if (this.#isSplit && this.#offset === this.#end) this.#transfer.abort(new Interrupted('the range is complete'));
  }
}

const alignUp = (offset: number): number => Math.ceil(offset / rangeAlignmentBytes) * rangeAlignmentBytes;
