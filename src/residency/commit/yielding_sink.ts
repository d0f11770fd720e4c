import type { RangedSink } from '../../sources/ranged_sink.js';
import type { NativeFile } from '../../vram/file.js';
import type { ByteRange } from '../state/snapshot.js';
import type { Ingest } from './ingest.js';
import type { StagingWriter } from './staging_writer.js';

/** After this much silence of the source, a commit that waits gets the slots. */
const defaultQuietMs = 1000;

/**
 * Runs `copy` with the sink of a commit whose bytes come from a source. While the source sends nothing, as in a stall or
 * between attempts, the commit gives its slots to those that wait. Then the next byte waits for a slot. Ranges in any
 * order keep their slots.
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

class YieldingSink<Result> implements RangedSink {
  readonly #ingest: Ingest<Result>;
  readonly #quietMs: number;
  readonly #timer: NodeJS.Timeout;
  #lastMs = performance.now();
  /** Calls that use the slots, or will. */
  #calls = 0;
  #pause: Promise<void> | undefined;

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
    if (this.#pause !== undefined) return this.#call(async () => this.#ingest.write(chunk));
    const ready = this.#ingest.write(chunk);
    this.#lastMs = performance.now();
    return ready && this.#call(() => ready);
  }

  receive(descriptor: number, maxBytes: number): Promise<number> {
    return this.#call(() => this.#ingest.receive(descriptor, maxBytes));
  }

  file(file: NativeFile, range: ByteRange): Promise<void> {
    return this.#call(() => this.#ingest.file(file, range));
  }

  async openWriter(): Promise<StagingWriter | undefined> {
    // This call never ends, because the writers use the slots without this sink.
    this.#calls++;
    await this.resume();
    return this.#ingest.openWriter();
  }

  /** Acquires the slots again after a pause. */
  async resume(): Promise<void> {
    if (this.#pause === undefined) return;
    await this.#pause;
    // The commit was admitted, so its wait must not fail because others wait as well.
    await this.#ingest.resume(this.signal, Number.POSITIVE_INFINITY);
    this.#pause = undefined;
  }

  /** No more calls follow. */
  stop(): void {
    clearInterval(this.#timer);
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    this.#calls++;
    try {
      await this.resume();
      return await work();
    } finally {
      this.#calls--;
      this.#lastMs = performance.now();
    }
  }

  #yieldIfQuiet(): void {
    const isQuiet = this.#calls === 0 && performance.now() - this.#lastMs >= this.#quietMs;
    if (!isQuiet || this.#pause !== undefined || !this.#ingest.othersWait) return;
    this.#pause = this.#ingest.pause();
    // A failure aborts the signal of the commit.
    this.#pause.catch(() => undefined);
  }
}
