import { type Moment, momentNow } from './moment.js';
import { type ByteRange, digestSliceBytes } from './slices.js';
import { groupCount, hashBytes } from './tree.js';

/** Digests a range on the device, and stores its hashes at their places in `hashes`, which covers the whole shard. */
export type DigestRange = (range: ByteRange, hashes: Buffer) => Promise<void>;

/** The group hashes of a shard. No byte was read before `startedAt`. */
export interface DatedHashes {
  readonly hashes: Buffer;
  readonly startedAt: Moment;
}

/**
 * Digests a shard on the device during its upload. It digests only sealed bytes, which no upload can change. After the
 * last byte little work remains.
 */
export class StreamingDigest {
  readonly #bytes: number;
  readonly #digest: DigestRange;
  readonly #hashes: Buffer;
  #queuedBytes = 0;
  #startedAt: Moment | undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(bytes: number, digest: DigestRange) {
    this.#bytes = bytes;
    this.#digest = digest;
    this.#hashes = Buffer.alloc(groupCount(bytes) * hashBytes);
  }

  /** Queues the digest of the first `sealedBytes` bytes, except those queued before. */
  sealed(sealedBytes: number): void {
    const [from, to] = [this.#queuedBytes, sealedBytes];
    if (to <= from) return;
    this.#queuedBytes = to;
    this.#work = this.#work.then(() => this.#digestSlices(from, to));
    // `finish` reports the error.
    this.#work.catch(() => undefined);
  }

  /** Digests the rest of a shard that is completely sealed. @throws the signal's reason, and the driver's errors */
  async finish(signal: AbortSignal): Promise<DatedHashes> {
    const stop = () => this.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      this.sealed(this.#bytes);
      await this.#work;
      signal.throwIfAborted();
      return { hashes: this.#hashes, startedAt: this.#startedAt ?? momentNow() };
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Skips all slices that have not begun. */
  stop(): void {
    this.#stopped = true;
  }

  async #digestSlices(from: number, to: number): Promise<void> {
    for (let offset = from; offset < to && !this.#stopped; offset += digestSliceBytes) {
      this.#startedAt ??= momentNow();
      await this.#digest({ offset, length: Math.min(digestSliceBytes, to - offset) }, this.#hashes);
    }
  }
}
