import type { ByteRange } from './egress/range_response.js';
import type { TransferOptions } from './egress/request.js';
import type { RangedSource } from './ranged_source.js';

/** The bytes of a range, in memory. The caller bounds its length. @throws WorkerError, or the reason of the signal */
export async function readRange(source: RangedSource, range: ByteRange, options: TransferOptions): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(range.length);
  let filled = 0;
  const write = (chunk: Uint8Array): undefined => {
    buffer.set(chunk, filled);
    filled += chunk.length;
  };
  await source.copyTo({ write }, range, options);
  return buffer;
}
