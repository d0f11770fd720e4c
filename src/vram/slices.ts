/** Bytes digested by one native call: enough to occupy a device, and few enough that other digests do not wait long. */
export const digestSliceBytes = 256 * 1024 * 1024;

/** Bytes of one native call of a requested verification: several segments of the device, which overlap. */
const requestedSliceBytes = 2048 * 1024 * 1024;

/** A range of a shard's bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * Delays a digest. Its caller awaits `next` before each slice of at most `sliceBytes`, which is a multiple of a group.
 */
export interface Throttle {
  readonly sliceBytes: number;
  /** Resolves when the digest may read `bytes` more. A rejection ends the digest. */
  next(bytes: number): Promise<void>;
}

export const unthrottled: Throttle = { sliceBytes: requestedSliceBytes, next: async () => undefined };
