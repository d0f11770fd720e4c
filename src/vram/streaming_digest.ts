import { type Moment, momentNow } from './moment.js';
import { type ByteRange, digestSliceBytes } from './slices.js';
import { groupCount, hashBytes, hashesOf } from './tree.js';

/** Digests a range on the device, and stores its hashes at their places in `hashes`, which covers the whole shard. */
export type DigestRange = (range: ByteRange, hashes: Buffer) => Promise<void>;

/** The group hashes of a shard. No byte was read before `startedAt`. */
export interface DatedHashes {
  readonly hashes: Buffer;
  readonly startedAt: Moment;
  /** False if bytes that were digested twice had two digests: the memory changed in between. */
  readonly isStable: boolean;
}

/** A slice that was digested while later bytes arrived. */
interface EarlySlice extends ByteRange {
  readonly startedAt: Moment;
}

/** An early digest counts only if it began at most this long before `finish`. */
const maxAgeMs = 2000;

/** Digests begin when the last byte is due within this time. An upload may slow to half its rate before they expire. */
const leadMs = maxAgeMs / 2;

/**
 * Digests a shard on the device during the last second of its upload, so that little work remains after the last byte.
 * It digests only sealed bytes, which no upload can change. Bytes whose digest is too old at the end, because the upload
 * became slower, are digested again. So each byte is digested once, and at most twice.
 */
export class StreamingDigest {
  readonly #bytes: number;
  readonly #digest: DigestRange;
  readonly #now: () => Moment;
  readonly #hashes: Buffer;
  readonly #early: EarlySlice[] = [];
  #queuedBytes = 0;
  /** The latest part that was sealed: how many bytes were sealed then, and when. */
  #last: { readonly sealedBytes: number; readonly at: Moment };
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(bytes: number, digest: DigestRange, now: () => Moment = momentNow) {
    this.#bytes = bytes;
    this.#digest = digest;
    this.#now = now;
    this.#hashes = Buffer.alloc(groupCount(bytes) * hashBytes);
    this.#last = { sealedBytes: 0, at: now() };
  }

  /** The first `sealedBytes` bytes have arrived and are sealed. Digests them if the last byte is due soon. */
  sealed(sealedBytes: number): void {
    if (sealedBytes <= this.#last.sealedBytes) return;
    const dueMs = this.#dueMs(sealedBytes);
    if (dueMs > leadMs) return;
    const [from, to] = [this.#queuedBytes, sealedBytes];
    this.#queuedBytes = to;
    this.#work = this.#work.then(() => this.#digestEarly(from, to));
    // `finish` reports the error.
    this.#work.catch(() => undefined);
  }

  /**
   * Digests the rest of a shard that has just been sealed completely. No digest that counts began more than 2 s before
   * this call. @throws the signal's reason, and the driver's errors
   */
  async finish(signal: AbortSignal): Promise<DatedHashes> {
    const oldestMs = this.#now().monotonicMs - maxAgeMs;
    const stop = () => this.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await this.#work;
      const startedAt = this.#early.find((slice) => isFresh(slice, oldestMs))?.startedAt ?? this.#now();
      const expired = this.#early.filter((slice) => !isFresh(slice, oldestMs));
      const rest = slicesOf(this.#queuedBytes, this.#bytes);
      const early = expired.map((slice) => Buffer.from(hashesOf(slice, this.#hashes)));
      for (const slice of [...expired, ...rest]) {
        if (!this.#stopped) await this.#digest(slice, this.#hashes);
      }
      signal.throwIfAborted();
      const isStable = expired.every((slice, index) => early[index]?.equals(hashesOf(slice, this.#hashes)));
      return { hashes: this.#hashes, startedAt, isStable };
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Skips all slices that have not begun. */
  stop(): void {
    this.#stopped = true;
  }

  /** When the last byte is due, at the rate of the part that was just sealed. Updates that rate. */
  #dueMs(sealedBytes: number): number {
    const at = this.#now();
    const { sealedBytes: before, at: since } = this.#last;
    this.#last = { sealedBytes, at };
    const bytesPerMs = (sealedBytes - before) / (at.monotonicMs - since.monotonicMs);
    return (this.#bytes - sealedBytes) / bytesPerMs;
  }

  async #digestEarly(from: number, to: number): Promise<void> {
    for (const slice of slicesOf(from, to)) {
      if (this.#stopped) return;
      this.#early.push({ ...slice, startedAt: this.#now() });
      await this.#digest(slice, this.#hashes);
    }
  }
}

const isFresh = ({ startedAt }: EarlySlice, oldestMs: number): boolean => startedAt.monotonicMs >= oldestMs;

function slicesOf(from: number, to: number): ByteRange[] {
  const count = Math.ceil((to - from) / digestSliceBytes);
  return Array.from({ length: count }, (_, index) => {
    const offset = from + index * digestSliceBytes;
    return { offset, length: Math.min(digestSliceBytes, to - offset) };
  });
}
