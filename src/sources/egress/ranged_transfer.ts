import { AbortScope, raceAbort } from './abort_scope.js';
import type { Bandwidth } from './bandwidth.js';
import type { ByteSink } from './byte_sink.js';
import { type DirectRead, directReadOf } from './direct_read.js';
import type { Egress } from './egress.js';
import { faultOf, invalid, SourceFault, unavailable } from './fault.js';
import type { Response } from './fetch.js';
import { type ByteRange, type ObjectVersion, rangeHeader, requireRange, unsatisfiedRange } from './range_response.js';
import type { SourceRequest, TransferOptions } from './request.js';
import { type Attempt, retrying } from './retrying.js';
import { SecureStream } from './secure_stream.js';
import { SkippingSink } from './skipping_sink.js';
import { StallWatch } from './stall_watch.js';

/** An object of a source. Each attempt makes a new request, so that an expired signature is replaced. */
export interface RemoteObject {
  readonly version: ObjectVersion;
  /** Without ranges, a part is read from the start of the object, and the bytes before it are dropped. Default: true. */
  readonly supportsRanges?: boolean;
  request(signal: AbortSignal): SourceRequest | Promise<SourceRequest>;
}

export interface RemoteRange {
  readonly object: RemoteObject;
  readonly range: ByteRange;
}

/**
 * Reads a range of an object into a sink. After a failed attempt the next one continues with the byte after the last.
 * Each byte reaches the sink once, in order, and at the speed of the sink; memory holds one chunk.
 * @throws WorkerError, the sink's errors, or the reason of a signal
 */
export function transferRange(
  egress: Egress,
  source: RemoteRange,
  sink: ByteSink,
  options: TransferOptions,
): Promise<void> {
  const { object, range } = source;
  const isInMiddle = object.supportsRanges === false && range.offset > 0;
  if (!isInMiddle) return new RangedTransfer(egress, source, sink, options).run();
  const fromStart = { object, range: { offset: 0, length: range.offset + range.length } };
  return new RangedTransfer(egress, fromStart, new SkippingSink(sink, range.offset), options).run();
}

/** A body that is read, of which `length` bytes belong to the range. */
interface Reading {
  readonly response: Response;
  readonly length: number;
  readonly attempt: Attempt;
  readonly watch: StallWatch;
  readonly limits: readonly Bandwidth[];
  readonly direct: DirectRead | undefined;
  /** Whether Node's parser does not see the end of the range. */
  hasHiddenEnd: boolean;
}

/** Whether no chunk follows. Else the worker waits for the source. */
function isLastOf({ length, attempt, watch, hasHiddenEnd }: Reading): boolean {
  const isLast = attempt.bytes === length && hasHiddenEnd;
  if (!isLast) watch.wait();
  return isLast;
}

class RangedTransfer {
  readonly #egress: Egress;
  readonly #object: RemoteObject;
  readonly #range: ByteRange;
  readonly #sink: ByteSink;
  readonly #options: TransferOptions;
  #doneBytes = 0;

  constructor(egress: Egress, { object, range }: RemoteRange, sink: ByteSink, options: TransferOptions) {
    this.#egress = egress;
    this.#object = object;
    this.#range = range;
    this.#sink = sink;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { offset, length } = this.#range;
    if (offset < 0 || length < 0 || offset + length > this.#object.version.totalBytes) {
      throw new RangeError('the range is outside the object');
    }
    const scope = new AbortScope(this.#options.signal);
    const onAbort = () => scope.abort(this.#sink.signal?.reason);
    this.#sink.signal?.addEventListener('abort', onAbort, { once: true });
    if (this.#sink.signal?.aborted) onAbort();
    try {
      const options = { ...this.#options, signal: scope.signal };
      if (length > 0) await retrying(this.#egress.environment, options, (each) => this.#attempt(each));
    } finally {
      this.#sink.signal?.removeEventListener('abort', onAbort);
      scope.dispose();
    }
  }

  get #rest(): ByteRange {
    const { offset, length } = this.#range;
    return { offset: offset + this.#doneBytes, length: length - this.#doneBytes };
  }

  async #attempt(attempt: Attempt): Promise<void> {
    const { version } = this.#object;
    const range = this.#rest;
    const request = await this.#object.request(attempt.signal);
    const headers = { ...request.headers, Range: rangeHeader(range) };
    const response = await this.#egress.fetchOk(
      {
        ...request,
        headers,
        explain: (hop) =>
          request.explain?.(hop) ?? (hop.head.status === 416 ? unsatisfiedRange(hop.head, version) : undefined),
      },
      attempt.signal,
    );
    try {
      requireRange(response.head, range, version);
      await this.#read(response, range.length, attempt);
    } finally {
      response.close();
    }
  }

  async #read(response: Response, length: number, attempt: Attempt): Promise<void> {
    const { environment } = this.#egress;
    const { signal } = attempt;
    const watch = new StallWatch(environment.clock, environment.minBytesPerSecond, (error) => response.close(error));
    const limits = this.#limits;
    const direct = limits.length > 0 ? undefined : directReadOf(response, this.#sink);
    // The rest of a whole object is not part of the range.
    const reading = { response, length, attempt, watch, limits, direct, hasHiddenEnd: response.head.status === 200 };
    const onAbort = () => response.close(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted();
      watch.wait();
      await this.#readBody(reading);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SinkError) throw error.cause;
      const fault = faultOf(error);
      // Every byte is here. The digest decides, not the end of the connection.
      const isComplete = attempt.bytes === length && fault instanceof SourceFault && fault.rule === 'backoff';
      if (!isComplete) throw fault;
    } finally {
      watch.stop();
      signal.removeEventListener('abort', onAbort);
    }
    if (attempt.bytes < length) throw unavailable('The source closed the connection early');
  }

  async #readBody(reading: Reading): Promise<void> {
    const { body } = reading.response;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const isLast = this.#onChunk(chunk, reading);
      if (typeof isLast === 'boolean' ? isLast : await isLast) break;
      const diverted = this.#divert(reading);
      if (diverted === undefined) continue;
      await diverted;
      break;
    }
  }

  /** Reads the rest of a body over TLS past Node's parser and streams, which cost more than the decryption. */
  #divert(reading: Reading): Promise<void> | undefined {
    const { response, attempt, length } = reading;
    const { body, connection, head } = response;
    if (!(connection instanceof SecureStream) || head.contentLength === undefined) return undefined;
    // Node has seen the end already, or has bytes that come first.
    if (attempt.bytes === length || body.readableLength > 0) return undefined;
    const diverted = connection.divert((chunk) => this.#onChunk(chunk, reading));
    reading.hasHiddenEnd ||= diverted !== undefined;
    return diverted;
  }

  /** Takes a chunk of the body. Returns whether it is the last one. A promise for each would cost more than the chunk. */
  #onChunk(chunk: Buffer, reading: Reading): boolean | Promise<boolean> {
    const { response, length, attempt, watch, limits, direct } = reading;
    watch.arrived(chunk.length);
    const left = length - attempt.bytes;
    if (chunk.length > left && response.head.status === 206) throw invalid('The source sent extra bytes');
    const taken = this.#take(chunk.length > left ? chunk.subarray(0, left) : chunk, attempt);
    if (taken === undefined && limits.length === 0 && direct === undefined) return isLastOf(reading);
    return this.#afterChunk(chunk.length, taken, reading);
  }

  async #afterChunk(chunkBytes: number, taken: Promise<void> | undefined, reading: Reading): Promise<boolean> {
    const { length, attempt, watch, limits, direct } = reading;
    await taken;
    for (const limit of limits) await limit.take(chunkBytes, attempt.signal);
    if (direct !== undefined) {
      const bytes = await this.#takeDirectly(direct(chunkBytes, length - attempt.bytes), attempt);
      watch.arrived(bytes);
      // Node does not know the end after a direct read.
      reading.hasHiddenEnd ||= bytes > 0;
    }
    return isLastOf(reading);
  }

  /**
   * Counts a chunk only after the sink has it: what it did not take is requested again. Undefined if the sink takes the
   * next chunk at once.
   */
  #take(chunk: Buffer, attempt: Attempt): Promise<void> | undefined {
    try {
      const ready = this.#sink.write(chunk);
      attempt.bytes += chunk.length;
      this.#doneBytes += chunk.length;
      return ready && sinkErrorsOf(raceAbort(ready, attempt.signal));
    } catch (error) {
      throw sinkError(error);
    }
  }

  /** Counts the bytes that the sink read from the socket itself. */
  async #takeDirectly(read: Promise<number>, attempt: Attempt): Promise<number> {
    const bytes = await sinkErrorsOf(raceAbort(read, attempt.signal));
    attempt.bytes += bytes;
    this.#doneBytes += bytes;
    return bytes;
  }

  get #limits(): readonly Bandwidth[] {
    const limits = [this.#egress.environment.bandwidth, this.#options.bandwidth];
    return limits.filter((limit): limit is Bandwidth => limit?.isLimited === true);
  }
}

/** Marks an error of the sink of any type, because a retry cannot repair it. */
class SinkError extends Error {}

const sinkError = (cause: unknown): SinkError => new SinkError('the sink failed', { cause });

async function sinkErrorsOf<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw sinkError(error);
  }
}
