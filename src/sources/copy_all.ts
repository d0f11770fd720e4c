import { copyParallel, minRangeBytes } from './copy_parallel.js';
import type { TransferOptions } from './egress/request.js';
import type { RangedSink } from './ranged_sink.js';
import type { RangedSource } from './ranged_source.js';

/**
 * Reads all bytes of a source into a sink such as an `Ingest`, each once: in order, or several ranges at a time if the
 * source and the sink allow it.
 * @throws WorkerError, the sink's errors, or the reason of a signal
 */
export async function copyAll(source: RangedSource, sink: RangedSink, options: TransferOptions): Promise<void> {
  const isParallel = sink.maxWriters > 1 && source.supportsRanges && sink.totalBytes > minRangeBytes;
  if (isParallel) return copyParallel(source, sink, options);
  await source.copyTo(sink, { offset: 0, length: sink.totalBytes }, options);
}
