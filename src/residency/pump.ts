import { WorkerError } from '../errors.js';
import type { Load, LoadResult } from '../vram/load.js';
import { type Slot, slotBytes } from '../vram/staging.js';

/** Bytes of a file that one native call reads: others get the thread in between. */
const fileSliceBytes = 64 * 1024 * 1024;

/**
 * Moves bytes through two staging slots into a load: one is filled while the other is digested and copied. Memory does
 * not grow with the shard.
 */
export class Pump {
  readonly #load: Load;
  readonly #totalBytes: number;
  readonly #slots: readonly Slot[];
  readonly #progress: (receivedBytes: number) => void;
  #current = 0;
  #filled = 0;
  #received = 0;
  #inFlight: Promise<void> = Promise.resolve();
  #busy = false;
  #closed = false;

  constructor(load: Load, slots: readonly Slot[], totalBytes: number, progress: (receivedBytes: number) => void) {
    this.#load = load;
    this.#slots = slots;
    this.#totalBytes = totalBytes;
    this.#progress = progress;
  }

  /**
   * Takes a chunk; its bytes are copied before a promise, if any, resolves. A promise asks the caller to wait.
   * @throws WorkerError LENGTH_MISMATCH when more comes than was declared, and the driver's errors
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#count(chunk.length);
    const taken = this.#fill(chunk);
    if (this.#filled < slotBytes) return undefined;
    if (taken === chunk.length && !this.#busy) {
      this.#push();
      return undefined;
    }
    return this.#drain(chunk, taken);
  }

  /** Reads the whole load from an open file, natively; stops early where the pump is closed meanwhile. */
  async file(descriptor: number): Promise<void> {
    while (this.#received < this.#totalBytes && !this.#closed) {
      const bytes = Math.min(fileSliceBytes, this.#totalBytes - this.#received);
      this.#inFlight = this.#load.file(descriptor, this.#received, bytes, this.#slots);
      await this.#inFlight;
      this.#count(bytes);
    }
  }

  /** Pushes what is left and waits for the device. @throws WorkerError LENGTH_MISMATCH */
  async finish(): Promise<LoadResult> {
    if (this.#received !== this.#totalBytes) {
      throw new WorkerError('LENGTH_MISMATCH', `${this.#received} bytes came, ${this.#totalBytes} were declared`);
    }
    await this.#inFlight;
    if (this.#filled > 0) this.#push();
    await this.#inFlight;
    return this.#load.finish();
  }

  /** Waits until no native call touches the slots any more, then gives the load up. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#inFlight.catch(() => undefined);
    await this.#load.close();
  }

  async #drain(chunk: Uint8Array, offset: number): Promise<void> {
    let taken = offset;
    while (this.#filled === slotBytes) {
      await this.#inFlight;
      this.#push();
      taken += this.#fill(chunk.subarray(taken));
    }
  }

  #fill(chunk: Uint8Array): number {
    const slot = this.#slots[this.#current];
    const taken = Math.min(chunk.length, slotBytes - this.#filled);
    slot?.bytes.set(taken === chunk.length ? chunk : chunk.subarray(0, taken), this.#filled);
    this.#filled += taken;
    return taken;
  }

  #push(): void {
    const slot = this.#slots[this.#current];
    if (slot === undefined) throw new RangeError('a pump without slots');
    this.#busy = true;
    this.#inFlight = this.#load.push(slot, this.#filled).then(() => {
      this.#busy = false;
    });
    this.#inFlight.catch(() => undefined);
    this.#current = (this.#current + 1) % this.#slots.length;
    this.#filled = 0;
  }

  #count(bytes: number): void {
    if (this.#received + bytes > this.#totalBytes) {
      throw new WorkerError('LENGTH_MISMATCH', `more bytes came than the ${this.#totalBytes} that were declared`);
    }
    this.#received += bytes;
    this.#progress(this.#received);
  }
}
