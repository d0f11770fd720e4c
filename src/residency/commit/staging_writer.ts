import { WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import { DuplicatedSocket } from '../../vram/socket.js';
import { type Slot, slotBytes } from '../../vram/staging.js';

/** Bytes that one native call reads: others get the thread in between. */
const readSliceBytes = 64 * 1024 * 1024;

/**
 * Moves bytes through a few staging slots into a load: some are filled while one is digested and copied. Memory does not
 * grow with the shard.
 */
export class StagingWriter {
  readonly #load: Load;
  readonly #totalBytes: number;
  readonly #slots: readonly Slot[];
  readonly #progress: (receivedBytes: number) => void;
  readonly #free: Slot[];
  /** Slots on their way into the load, in order; each settles when its slot is free again. */
  readonly #pushes: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();
  #current: Slot | undefined;
  #filled = 0;
  #received = 0;
  #closed = false;

  constructor(load: Load, slots: readonly Slot[], totalBytes: number, progress: (receivedBytes: number) => void) {
    this.#load = load;
    this.#slots = slots;
    this.#free = [...slots];
    this.#totalBytes = totalBytes;
    this.#progress = progress;
  }

  /**
   * Takes a chunk; its bytes are copied before it returns or, where a promise asks the caller to wait, before that resolves.
   * @throws WorkerError LENGTH_MISMATCH when more comes than was declared, and the driver's errors
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#count(chunk.length);
    const taken = this.#fill(chunk, 0);
    return taken === chunk.length ? undefined : this.#fillRest(chunk, taken);
  }

  /** Reads the whole load from an open file, natively; stops early where the pump is closed meanwhile. */
  async file(descriptor: number): Promise<void> {
    while (this.#received < this.#totalBytes && !this.#closed) {
      const bytes = Math.min(readSliceBytes, this.#totalBytes - this.#received);
      this.#last = this.#load.file(descriptor, this.#received, bytes, this.#slots);
      await this.#last;
      this.#count(bytes);
    }
  }

  /**
   * Takes bytes straight from a connected socket, natively, for as long as they keep coming; how many came. Nobody else
   * may read from it meanwhile. Takes none where enough connections are read so already.
   * @throws WorkerError LENGTH_MISMATCH when the sender has left, and the driver's errors
   */
  async receive(descriptor: number): Promise<number> {
    const socket = DuplicatedSocket.open(descriptor);
    if (socket === undefined) return 0;
    const before = this.#received;
    try {
      if (this.#current !== undefined) this.#push(this.#current);
      for (let dry = false; !dry && this.#received < this.#totalBytes && !this.#closed; ) {
        const bytes = Math.min(readSliceBytes, this.#totalBytes - this.#received);
        const came = this.#last.then(() => socket.receive(this.#load, bytes, this.#slots));
        this.#last = came.then(() => undefined);
        this.#count(await came);
        dry = (await came) < bytes;
      }
      return this.#received - before;
    } finally {
      socket.close();
    }
  }

  /** Pushes what is left and waits for the device. @throws WorkerError LENGTH_MISMATCH */
  async finish(): Promise<LoadResult> {
    if (this.#received !== this.#totalBytes) {
      throw new WorkerError('LENGTH_MISMATCH', `${this.#received} bytes came, ${this.#totalBytes} were declared`);
    }
    if (this.#current !== undefined) this.#push(this.#current);
    await this.#last;
    return this.#load.finish();
  }

  /** Waits until no native call touches the slots any more, then gives the load up. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last.catch(() => undefined);
    await this.#load.close();
  }

  async #fillRest(chunk: Uint8Array, offset: number): Promise<void> {
    let taken = offset;
    while (taken < chunk.length) {
      await this.#pushes[0];
      taken = this.#fill(chunk, taken);
    }
  }

  /** Copies from `offset` on as long as there are slots; returns how far it came. */
  #fill(chunk: Uint8Array, offset: number): number {
    let taken = offset;
    while (taken < chunk.length) {
      this.#current ??= this.#free.pop();
      const slot = this.#current;
      if (slot === undefined) break;
      const part = chunk.subarray(taken, taken + slotBytes - this.#filled);
      slot.bytes.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === slotBytes) this.#push(slot);
    }
    return taken;
  }

  /** Sends a slot after those before it. Once one has failed, none after it is sent, and all fail alike. */
  #push(slot: Slot): void {
    const bytes = this.#filled;
    this.#current = undefined;
    this.#filled = 0;
    this.#last = this.#last
      .then(() => this.#load.push(slot, bytes))
      .then(() => {
        this.#pushes.shift();
        this.#free.push(slot);
      });
    this.#last.catch(() => undefined);
    this.#pushes.push(this.#last);
  }

  #count(bytes: number): void {
    if (this.#received + bytes > this.#totalBytes) {
      throw new WorkerError('LENGTH_MISMATCH', `more bytes came than the ${this.#totalBytes} that were declared`);
    }
    this.#received += bytes;
    this.#progress(this.#received);
  }
}
