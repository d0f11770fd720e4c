import { type Frame, FrameError, lengthBytes, maxFrameBytes, parseFrame } from './frame.js';

const firstCapacity = 4096;
/** A larger buffer is given up when it is empty. */
const keptCapacity = 128 * 1024;

/** Takes frames out of a stream of bytes, however it is divided. Buffers at most one frame and the bytes of one push. */
export class FrameReader {
  readonly #maxLines: number;
  #buffer = Buffer.alloc(firstCapacity);
  #start = 0;
  #end = 0;

  constructor(maxLines = maxFrameBytes) {
    this.#maxLines = maxLines;
  }

  /** Whether bytes wait: complete frames, or a part of one. */
  get hasPart(): boolean {
    return this.#end > this.#start;
  }

  /** The length of the next frame's content; undefined if it has not arrived completely. @throws FrameError */
  get frameBytes(): number | undefined {
    const available = this.#end - this.#start;
    if (available < lengthBytes) return undefined;
    const bytes = this.#buffer.readUInt32LE(this.#start);
    if (bytes === 0) throw new FrameError('A frame is empty');
    if (bytes > maxFrameBytes) throw new FrameError(`A frame is longer than ${maxFrameBytes} bytes`);
    return available < lengthBytes + bytes ? undefined : bytes;
  }

  push(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The next complete frame. @throws FrameError */
  next(): Frame | undefined {
    const bytes = this.frameBytes;
    if (bytes === undefined) return undefined;
    const start = this.#start + lengthBytes;
    this.#start = start + bytes;
    const frame = parseFrame(this.#buffer.subarray(start, this.#start), this.#maxLines);
    if (!this.hasPart && this.#buffer.length > keptCapacity) this.#clear();
    return frame;
  }

  #clear(): void {
    this.#buffer = Buffer.alloc(firstCapacity);
    this.#start = 0;
    this.#end = 0;
  }

  /** Moves the bytes to the front, and doubles the buffer if it is too small, so that each byte is moved a few times at most. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const kept = this.#buffer.subarray(this.#start, this.#end);
    let capacity = this.#buffer.length;
    while (capacity < kept.length + bytes) capacity *= 2;
    const next = capacity === this.#buffer.length && this.#start >= kept.length ? this.#buffer : Buffer.alloc(capacity);
    next.set(kept, 0);
    this.#buffer = next;
    this.#start = 0;
    this.#end = kept.length;
  }
}
