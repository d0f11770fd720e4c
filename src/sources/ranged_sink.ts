import type { ByteSink } from './egress/byte_sink.js';

/** Takes the bytes of one range after another, each in order. */
export interface RangeWriter extends ByteSink {
  /** The next byte is that at `offset`, a multiple of `rangeAlignmentBytes`. The earlier range ended at a multiple too. */
  begin(offset: number): Promise<void>;
  /** Resolves when every byte that was written is in the sink. */
  flush(): Promise<void>;
}

/** A sink for the whole of a source, which may take several ranges at a time. `Ingest` has this form. */
export interface RangedSink extends ByteSink {
  readonly totalBytes: number;
  /** Writers that may be open. 1: the bytes must arrive in order, by `write` and `receive`. */
  readonly maxWriters: number;
  /**
   * Opens a writer, which the sink closes. Undefined if the sink has no room for one more. Open all before writing. Ranges
   * must not overlap.
   */
  openWriter(): Promise<RangeWriter | undefined>;
  /** The copy has failed: ends calls that wait until the sink takes bytes. */
  cancel?(error: unknown): void;
}

/** Ranges begin at multiples of this: a group of the tree digest. */
export const rangeAlignmentBytes = 512 * 1024;
