/** Bytes digested by one native call: enough to occupy a device, and few enough that other digests do not wait long. */
export const digestSliceBytes = 256 * 1024 * 1024;

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

/** The longest slice at full speed: several segments of the device, which overlap. */
const maxSliceBytes = 8 * digestSliceBytes;

/** Slices become longer only on a device that digests one within this time, so that damage is reported soon on any. */
const quickMs = 20;

/** No delay. On a GPU the cost of a call per slice counts, so the slices become longer there. */
export class FullSpeed implements Throttle {
  #sliceBytes = digestSliceBytes;
  #previousMs = Number.NEGATIVE_INFINITY;

  get sliceBytes(): number {
    return this.#sliceBytes;
  }

  async next(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#previousMs < quickMs) this.#sliceBytes = Math.min(2 * this.#sliceBytes, maxSliceBytes);
    this.#previousMs = nowMs;
  }
}

/** No delay, but an end: rejects with the signal's reason before the next slice. */
export class Stoppable extends FullSpeed {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    super();
    this.#signal = signal;
  }

  override async next(): Promise<void> {
    this.#signal.throwIfAborted();
    await super.next();
  }
}
