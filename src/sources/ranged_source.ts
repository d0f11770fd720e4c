import type { Digest } from '../seal/digest.js';
import type { ByteSink } from './egress/byte_sink.js';
import type { ByteRange } from './egress/range_response.js';
import type { TransferOptions } from './egress/request.js';

/** Who stated a digest. It is a claim that the bytes are held to, never a proof. */
export const digestOrigins = ['repr-digest', 'sidecar', 'descriptor', 'lfs', 'checksum', 'metadata', 'cache'] as const;
export type DigestOrigin = (typeof digestOrigins)[number];

export interface DigestClaim {
  readonly digest: Digest;
  readonly from: DigestOrigin;
}

/** One file of a source, of a fixed version, whose bytes can be read from any offset. */
export interface RangedSource {
  readonly totalBytes: number;
  /** The strong entity tag of the version; undefined without one. */
  readonly etag: string | undefined;
  /** What the source claims of the whole file; undefined without a claim. */
  readonly claim: DigestClaim | undefined;
  /** Whether a transfer can continue after a failure, and a range be repaired. */
  readonly supportsRanges: boolean;
  /** Transfers that may run at a time. Undefined: no limit. */
  readonly maxTransfers?: number | undefined;
  /**
   * Reads a range into a sink, such as an `Ingest`, in order and each byte once. Continues after failures.
   * @throws WorkerError, the sink's errors, or the reason of a signal
   */
  copyTo(sink: ByteSink, range: ByteRange, options: TransferOptions): Promise<void>;
  /**
   * Opens the same local file again, also if another one has its path now. The caller closes it. Remote sources have none.
   * @throws WorkerError LENGTH_MISMATCH if the file changed since it was opened, MODEL_DIR_UNAVAILABLE
   */
  reopen?(signal: AbortSignal): Promise<RangedSource>;
  /** Frees what an open local file holds. A remote source holds nothing between transfers. */
  close(): void;
}
