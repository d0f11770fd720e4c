import { WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import type { LoadWriter } from '../../vram/load_writer.js';
import type { Slot, Staging } from '../../vram/staging.js';
import { StagingWriter } from './staging_writer.js';

export interface WritersOptions {
  readonly load: Load;
  readonly staging: Staging;
  readonly totalBytes: number;
  /** Writers that may be open. 1: the bytes must arrive in order. */
  readonly maxWriters: number;
  /** Reports how many bytes have arrived so far. */
  readonly onReceived: (receivedBytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * The writers of one load and their staging slots: one writer for all bytes in order, or several for ranges in any order.
 * Memory grows neither with the shard nor with the number of ranges.
 */
export class StagingWriters {
  readonly #options: WritersOptions;
  readonly #ofRanges: StagingWriter[] = [];
  readonly #spare: Slot[] = [];
  #slots: readonly Slot[] = [];
  #inOrder: StagingWriter | undefined;
  #receivedBytes = 0;

  constructor(options: WritersOptions) {
    this.#options = options;
  }

  /** Bytes that all writers took so far. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /**
   * Uses these slots from now on. The caller took back the earlier ones after a `flush`. Writers with a spare slot keep it:
   * no other commit counts on it.
   */
  use(slots: readonly Slot[]): void {
    this.#slots = slots;
    this.#inOrder?.use(slots);
    for (const [index, slot] of slots.entries()) this.#ofRanges[index]?.use([slot]);
  }

  /** The writer of bytes in order, through all slots. @throws WorkerError INTERNAL if ranges have writers */
  get inOrder(): StagingWriter {
    if (this.#ofRanges.length > 0) throw new WorkerError('INTERNAL', 'The ranges of this commit have writers');
    this.#inOrder ??= this.#newWriter(this.#options.load, this.#slots);
    return this.#inOrder;
  }

  /**
   * Opens a writer of ranges. Undefined if there is no slot for one more. No other writer may be in use.
   * @throws WorkerError INTERNAL if the bytes must arrive in order, or do already, VramError
   */
  async open(): Promise<StagingWriter | undefined> {
    const { load, maxWriters } = this.#options;
    if (this.#inOrder !== undefined || maxWriters < 2) {
      throw new WorkerError('INTERNAL', 'The bytes of this commit arrive in order');
    }
    const index = this.#ofRanges.length;
    if (index >= maxWriters) return undefined;
    const slot = this.#slots[index] ?? this.#takeSpare();
    if (slot === undefined) return undefined;
    const writer = this.#newWriter(index === 0 ? load : await load.openWriter(), [slot]);
    this.#ofRanges.push(writer);
    return writer;
  }

  /** Loads the bytes that are still in slots. Afterwards no native call uses the slots. @throws the driver's errors */
  async flush(): Promise<void> {
    for (const writer of this.#all) await writer.flush();
  }

  /** The digests of the load, whose bytes all arrived. Closes it. @throws WorkerError LENGTH_MISMATCH, driver errors */
  async finish(): Promise<LoadResult> {
    const last = await this.#inOrder?.takeLast();
    await this.flush();
    const result = await this.#options.load.complete(last);
    await this.close();
    return result;
  }

  /** Waits until no native call uses the slots, closes the load, and gives back the spare slots. */
  async close(): Promise<void> {
    const { load, staging } = this.#options;
    await Promise.all(this.#all.map((writer) => writer.stop()));
    staging.give(this.#spare.splice(0));
    await load.close();
  }

  get #all(): readonly StagingWriter[] {
    return this.#inOrder === undefined ? this.#ofRanges : [this.#inOrder];
  }

  #newWriter(load: LoadWriter, slots: readonly Slot[]): StagingWriter {
    const { totalBytes, signal, onReceived } = this.#options;
    const onBytes = (bytes: number) => {
      this.#receivedBytes += bytes;
      onReceived(this.#receivedBytes);
    };
    const writer = new StagingWriter(load, { totalBytes, signal, onBytes });
    writer.use(slots);
    return writer;
  }

  #takeSpare(): Slot | undefined {
    const slot = this.#options.staging.takeSpare();
    if (slot !== undefined) this.#spare.push(slot);
    return slot;
  }
}
