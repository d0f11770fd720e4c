/**
 * Collects the chunks of a body. They are copied: an object for each chunk takes a hundred bytes, and its sender can make chunks
 * of one byte.
 */
export class BoundedBuffer {
  readonly #maxBytes: number;
  #buffer = Buffer.alloc(0);
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes so far. A later chunk does not change them. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Returns false if the chunk does not fit. */
  add(chunk: Uint8Array): boolean {
    const length = this.#length + chunk.length;
    if (length > this.#maxBytes) return false;
    if (length > this.#buffer.length) this.#grow(length);
    this.#buffer.set(chunk, this.#length);
    this.#length = length;
    return true;
  }

  /** At least doubles the capacity, so that each byte is moved once on average. */
  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(bytes, 2 * this.#buffer.length)));
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}
