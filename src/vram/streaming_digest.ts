import { digestSliceBytes } from './slices.js';
import { groupCount, hashBytes } from './tree.js';

/** Has the device digest a range, and writes its group hashes where they belong among those of the whole shard. */
export type DigestRange = (offset: number, length: number, hashes: Buffer) => Promise<void>;

/**
 * The device's digest of a shard that is arriving: what is sealed is digested while the rest comes, so that little is left
 * to do after the last byte. Nothing is digested that could still be written.
 */
export class StreamingDigest {
  readonly #bytes: number;
  readonly #digest: DigestRange;
  readonly #hashes: Buffer;
  #asked = 0;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(bytes: number, digest: DigestRange) {
    this.#bytes = bytes;
    this.#digest = digest;
    this.#hashes = Buffer.alloc(groupCount(bytes) * hashBytes);
  }

  /** Nothing can write the first `sealedBytes` any more. */
  sealed(sealedBytes: number): void {
    const [from, to] = [this.#asked, sealedBytes];
    if (to <= from) return;
    this.#asked = to;
    this.#work = this.#work.then(() => this.#digestSlices(from, to));
    // Whoever asks for the hashes is told.
    this.#work.catch(() => undefined);
  }

  /** All of it is sealed: the hashes of all. The signal ends it. @throws the signal's reason, and the driver's errors */
  async hashes(signal: AbortSignal): Promise<Buffer> {
    const stop = () => this.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      this.sealed(this.#bytes);
      await this.#work;
      signal.throwIfAborted();
      return this.#hashes;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** What has not begun is not begun any more. */
  stop(): void {
    this.#stopped = true;
  }

  async #digestSlices(from: number, to: number): Promise<void> {
    for (let offset = from; offset < to && !this.#stopped; offset += digestSliceBytes) {
      await this.#digest(offset, Math.min(digestSliceBytes, to - offset), this.#hashes);
    }
  }
}
