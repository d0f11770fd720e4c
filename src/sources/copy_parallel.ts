import { setMaxListeners } from 'node:events';
import { AbortScope } from './egress/abort_scope.js';
import { type Clock, systemClock } from './egress/clock.js';
import { SourceFault } from './egress/fault.js';
import type { ByteRange } from './egress/range_response.js';
import type { TransferOptions } from './egress/request.js';
import { ReconnectBudget } from './egress/retry_policy.js';
import { RangePart } from './range_part.js';
import { type RangedSink, type RangeWriter, rangeAlignmentBytes } from './ranged_sink.js';
import type { RangedSource } from './ranged_source.js';

/** A range costs a connection. A smaller one is not worth that, and a larger one is divided late. */
export const minRangeBytes = 8 * 1024 * 1024;
const maxRangeBytes = 64 * 1024 * 1024;

/** Ranges per writer, if they are neither too small nor too large. */
const rangesPerWriter = 4;

/** How often a writer without a range looks for one that is slow. */
const idleMs = 250;

/** A range is divided, or continues on a new connection, if its rest is due later than this. */
const slowMs = 1000;

/** The rate of a connection is unknown before this. */
const minAgeMs = 500;

/** A last range continues on a new connection if it has less than this share of the others' rate. */
const lowRate = 0.25;
const restartAgeMs = 2000;
const maxRestarts = 3;

/**
 * Reads all bytes of a source into the writers of a sink, several ranges at a time. Ranges are taken from a queue. When it
 * is empty, slow ranges are divided, so that one slow connection does not delay the end. The first failure ends all.
 * @throws WorkerError, the sink's errors, or the reason of a signal
 */
export async function copyParallel(
  source: RangedSource,
  sink: RangedSink,
  options: TransferOptions,
  clock: Clock = systemClock,
): Promise<void> {
  const count = Math.min(sink.maxWriters, source.maxTransfers ?? Number.POSITIVE_INFINITY, rangesOf(sink));
  const writers: RangeWriter[] = [];
  while (writers.length < count) {
    const writer = await sink.openWriter();
    if (writer === undefined) break;
    writers.push(writer);
  }
  if (writers.length === 0) throw new RangeError('the sink has no room for a writer');
  await new ParallelCopy(source, sink, options, clock).run(writers);
}

const tooSlow = (timeoutMs: number): SourceFault =>
  new SourceFault('SOURCE_TIMEOUT', `The transfer did not end within ${Math.round(timeoutMs / 1000)} s`);

const rangesOf = ({ totalBytes }: RangedSink): number => Math.ceil(totalBytes / minRangeBytes);

class ParallelCopy {
  readonly #source: RangedSource;
  readonly #sink: RangedSink;
  readonly #totalBytes: number;
  readonly #options: TransferOptions;
  readonly #clock: Clock;
  readonly #scope: AbortScope;
  readonly #reconnects = new ReconnectBudget();
  readonly #parts = new Set<RangePart>();
  /** Writers that wait for a range. */
  readonly #idle = new Set<() => void>();
  readonly #endsAtMs: number | undefined;
  #rangeBytes = minRangeBytes;
  #nextOffset = 0;
  /** Of all ranges that ended. */
  readonly #ended = { bytes: 0, ms: 0 };

  constructor(source: RangedSource, sink: RangedSink, options: TransferOptions, clock: Clock) {
    this.#source = source;
    this.#sink = sink;
    this.#totalBytes = sink.totalBytes;
    this.#options = options;
    this.#clock = clock;
    this.#scope = new AbortScope(options.signal);
    const { timeoutMs } = options;
    this.#endsAtMs = timeoutMs === undefined ? undefined : clock.monotonicMs() + timeoutMs;
    if (timeoutMs !== undefined) this.#scope.abortAfter(clock, timeoutMs, () => tooSlow(timeoutMs));
  }

  async run(writers: readonly RangeWriter[]): Promise<void> {
    const bytes = this.#totalBytes / (writers.length * rangesPerWriter);
    const aligned = Math.ceil(bytes / rangeAlignmentBytes) * rangeAlignmentBytes;
    this.#rangeBytes = Math.min(maxRangeBytes, Math.max(minRangeBytes, aligned));
    const { signal: sinkSignal } = this.#sink;
    const onAbort = () => this.#scope.abort(sinkSignal?.reason);
    sinkSignal?.addEventListener('abort', onAbort, { once: true });
    if (sinkSignal?.aborted) onAbort();
    const { signal } = this.#scope;
    // Every transfer listens to it, and Node warns of more than ten listeners.
    setMaxListeners(0, signal);
    signal.addEventListener('abort', () => this.#sink.cancel?.(signal.reason), { once: true });
    try {
      await Promise.all(writers.map((writer) => this.#fillAll(writer)));
      signal.throwIfAborted();
    } finally {
      sinkSignal?.removeEventListener('abort', onAbort);
      this.#scope.dispose();
    }
  }

  /** Fills ranges until none is left. Never rejects: the first failure is the reason of the scope. */
  async #fillAll(writer: RangeWriter): Promise<void> {
    for (let range = await this.#next(); range !== undefined; range = await this.#next()) {
      const part = new RangePart(writer, range, () => this.#clock.monotonicMs());
      this.#parts.add(part);
      try {
        await part.fill((rest) => this.#copy(part, rest));
        this.#ended.bytes += part.doneBytes;
        this.#ended.ms += part.ageMs;
      } catch (error) {
        this.#scope.abort(error);
      }
      this.#parts.delete(part);
      for (const wake of [...this.#idle]) wake();
    }
  }

  #copy(part: RangePart, rest: ByteRange): Promise<void> {
    const { signal } = this.#scope;
    const endsAtMs = this.#endsAtMs;
    const timeoutMs = endsAtMs === undefined ? undefined : Math.max(0, endsAtMs - this.#clock.monotonicMs());
    return this.#source.copyTo(part, rest, { ...this.#options, timeoutMs, signal, reconnects: this.#reconnects });
  }

  /** The next range of the queue, then parts of slow ranges. Undefined when every range has ended, or one has failed. */
  async #next(): Promise<ByteRange | undefined> {
    while (!this.#scope.signal.aborted) {
      const offset = this.#nextOffset;
      if (offset < this.#totalBytes) {
        this.#nextOffset = Math.min(this.#totalBytes, offset + this.#rangeBytes);
        return { offset, length: this.#nextOffset - offset };
      }
      if (this.#parts.size === 0) return undefined;
      const given = this.#divideSlowest();
      if (given !== undefined) return given;
      await this.#change();
    }
    return undefined;
  }

  #divideSlowest(): ByteRange | undefined {
    const slow = [...this.#parts].filter((part) => part.ageMs >= minAgeMs && part.dueMs > slowMs);
    for (const part of slow.sort((a, b) => b.dueMs - a.dueMs)) {
      const given = part.split();
      if (given !== undefined) return given;
      if (this.#isMuchSlower(part)) part.restart();
    }
    return undefined;
  }

  #isMuchSlower(part: RangePart): boolean {
    const { bytes, ms } = this.#ended;
    const isOld = part.ageMs >= restartAgeMs && part.restarts < maxRestarts;
    return isOld && part.bytesPerMs < (lowRate * bytes) / Math.max(1, ms);
  }

  /** Resolves when a range has ended, or after a while. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        this.#idle.delete(wake);
        resolve();
      };
      const cancel = this.#clock.after(idleMs, wake);
      this.#idle.add(wake);
    });
  }
}
