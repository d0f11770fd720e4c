import type { RangedSink, RangeWriter } from '../../sources/ranged_sink.js';
import type { NativeFile } from '../../vram/file.js';
import type { ByteRange } from '../state/snapshot.js';
import type { Ingest } from './ingest.js';
import type { StagingWriter } from './staging_writer.js';
import { type SlotUser, YieldingWriter } from './yielding_writer.js';

/** After this much silence of the source, a commit that waits gets the slots. */
const defaultQuietMs = 1000;

/**
 * Runs `copy` with the sink of a commit whose bytes come from a source. While the source sends nothing, as in a stall or
 * between attempts, the commit gives its slots to those that wait. Then the next byte waits for a slot. A commit of several
 * ranges yields when all of them are silent.
 * @throws the errors of `copy` and of the commit
 */
export async function copyYielding<Result>(
  ingest: Ingest<Result>,
  copy: (sink: RangedSink) => Promise<void>,
  quietMs = defaultQuietMs,
): Promise<void> {
  const sink = new YieldingSink(ingest, quietMs);
  try {
    await copy(sink);
    await sink.resume();
  } finally {
    sink.stop();
  }
}

class YieldingSink<Result> implements RangedSink, SlotUser {
  readonly #ingest: Ingest<Result>;
  readonly #quietMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #canceled = new AbortController();
  #lastMs = performance.now();
  /** Calls that use the slots, or will. */
  #calls = 0;
  #pause: Promise<void> | undefined;
  /** All calls after a pause share it. */
  #resuming: Promise<void> | undefined;

  constructor(ingest: Ingest<Result>, quietMs: number) {
    this.#ingest = ingest;
    this.#quietMs = quietMs;
    this.#timer = setInterval(() => this.#yieldIfQuiet(), quietMs / 4);
  }

  get signal(): AbortSignal {
    return this.#ingest.signal;
  }

  get totalBytes(): number {
    return this.#ingest.totalBytes;
  }

  get maxWriters(): number {
    return this.#ingest.maxWriters;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.writeTo(this.#ingest, chunk);
  }

  receive(descriptor: number, maxBytes: number): Promise<number> {
    return this.call(() => this.#ingest.receive(descriptor, maxBytes));
  }

  file(file: NativeFile, range: ByteRange): Promise<void> {
    return this.call(() => this.#ingest.file(file, range));
  }

  async openWriter(): Promise<RangeWriter | undefined> {
    const writer = await this.call(() => this.#ingest.openWriter());
    return writer && new YieldingWriter(writer, this);
  }

  writeTo(sink: Pick<StagingWriter, 'write'>, chunk: Uint8Array): Promise<void> | undefined {
    if (this.#pause !== undefined) return this.call(async () => sink.write(chunk));
    const ready = sink.write(chunk);
    this.#lastMs = performance.now();
    return ready && this.call(() => ready);
  }

  /** Acquires the slots again after a pause. */
  async resume(): Promise<void> {
    if (this.#pause === undefined) return;
    this.#resuming ??= this.#resume(this.#pause).finally(() => {
      this.#resuming = undefined;
    });
    await this.#resuming;
  }

  cancel(error: unknown): void {
    this.#canceled.abort(error);
  }

  /** No more calls follow. */
  stop(): void {
    clearInterval(this.#timer);
  }

  async call<T>(work: () => Promise<T>): Promise<T> {
    this.#calls++;
    try {
      await this.resume();
      return await work();
    } finally {
      this.#calls--;
      this.#lastMs = performance.now();
    }
  }

  async #resume(pause: Promise<void>): Promise<void> {
    await pause;
    // The commit was admitted, so its wait must not fail because others wait as well.
    await this.#ingest.resume(this.#canceled.signal, Number.POSITIVE_INFINITY);
    this.#pause = undefined;
  }

  #yieldIfQuiet(): void {
    const isQuiet = this.#calls === 0 && performance.now() - this.#lastMs >= this.#quietMs;
    if (!isQuiet || this.#pause !== undefined || !this.#ingest.othersWait) return;
    this.#pause = this.#ingest.pause();
    // A failure aborts the signal of the commit.
    this.#pause.catch(() => undefined);
  }
}
