import type { ByteSink } from './egress/byte_sink.js';
import type { ByteRange } from './egress/range_response.js';
import type { TransferOptions } from './egress/request.js';
import type { DigestClaim, RangedSource } from './ranged_source.js';

/** A small file in memory. */
export class MemorySource implements RangedSource {
  readonly etag = undefined;
  readonly supportsRanges = true;
  readonly claim: DigestClaim | undefined;
  readonly #content: Buffer;

  constructor(content: Buffer, claim: DigestClaim | undefined) {
    this.#content = content;
    this.claim = claim;
  }

  get totalBytes(): number {
    return this.#content.length;
  }

  async copyTo(sink: ByteSink, { offset, length }: ByteRange, { signal }: TransferOptions): Promise<void> {
    if (offset < 0 || length < 0 || offset + length > this.totalBytes) {
      throw new RangeError('the range is outside the object');
    }
    signal.throwIfAborted();
    sink.signal?.throwIfAborted();
    if (length > 0) await sink.write(this.#content.subarray(offset, offset + length));
  }

  close(): void {}
}
