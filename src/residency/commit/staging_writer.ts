import { WorkerError } from '../../errors.js';
import type { NativeFile } from '../../vram/file.js';
import type { Load, LoadResult } from '../../vram/load.js';
import { DuplicatedSocket } from '../../vram/socket.js';
import { type Slot, slotBytes } from '../../vram/staging.js';
import type { ByteRange } from '../state/snapshot.js';

/** Bytes that one native call reads. Between calls, other work gets the thread. */
const readSliceBytes = 64 * 1024 * 1024;

/**
 * Writes bytes through a few staging slots into a load: some slots are filled while another is digested and copied.
 * Memory does not grow with the shard.
 */
export class StagingWriter {
  readonly #load: Load;
  readonly #totalBytes: number;
  readonly #onReceived: (receivedBytes: number) => void;
  #slots: readonly Slot[] = [];
  #free: Slot[] = [];
  /** Slots on their way into the load, in order. Each promise settles when its slot is free again. */
  readonly #pushes: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();
  #current: Slot | undefined;
  #filledBytes = 0;
  #receivedBytes = 0;
  #closed = false;

  constructor(load: Load, totalBytes: number, onReceived: (receivedBytes: number) => void) {
    this.#load = load;
    this.#totalBytes = totalBytes;
    this.#onReceived = onReceived;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Writes through these slots from now on. The caller took back the earlier ones after a `flush`. */
  use(slots: readonly Slot[]): void {
    this.#slots = slots;
    this.#free = [...slots];
  }

  /** Loads the bytes that are still in a slot. Afterwards no native call uses the slots. @throws the driver's errors */
  async flush(): Promise<void> {
    if (this.#current !== undefined) this.#push(this.#current);
    await this.#last;
  }

  /**
   * Takes a chunk. Its bytes are copied before this returns or, if it returns a promise, before that resolves.
   * @throws WorkerError LENGTH_MISMATCH if more arrives than was declared, and the driver's errors
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#count(chunk.length);
    const taken = this.#fill(chunk, 0);
    return taken === chunk.length ? undefined : this.#fillRest(chunk, taken);
  }

  /** Reads a range of an open file, natively. Stops early if the writer is closed. */
  async file(file: NativeFile, { offset, length }: ByteRange): Promise<void> {
    if (this.#current !== undefined) this.#push(this.#current);
    for (let done = 0; done < length && !this.#closed; ) {
      const part = { offset: offset + done, length: Math.min(readSliceBytes, length - done) };
      const loaded = this.#last.then(() => this.#load.file(file, part, this.#slots));
      this.#last = loaded.then(() => undefined);
      const bytes = await loaded;
      this.#count(bytes);
      done += bytes;
      if (bytes < part.length) await file.settled();
    }
  }

  /**
   * Reads at most `maxBytes` from a connected socket, natively, while bytes keep arriving. Returns how many were read: none
   * if the connection ended, or if too many sockets are read this way already. The caller must not read from the socket
   * until this resolves. @throws the driver's errors
   */
  async receive(descriptor: number, maxBytes = this.#totalBytes): Promise<number> {
    const socket = DuplicatedSocket.open(descriptor);
    if (socket === undefined) return 0;
    const before = this.#receivedBytes;
    const endBytes = Math.min(this.#totalBytes, before + maxBytes);
    try {
      if (this.#current !== undefined) this.#push(this.#current);
      for (let dry = false; !dry && this.#receivedBytes < endBytes && !this.#closed; ) {
        const bytes = Math.min(readSliceBytes, endBytes - this.#receivedBytes);
        const received = this.#last.then(() => socket.receive(this.#load, bytes, this.#slots));
        this.#last = received.then(() => undefined);
        this.#count(await received);
        dry = (await received) < bytes;
      }
      return this.#receivedBytes - before;
    } finally {
      socket.close();
    }
  }

  /** Pushes the last slot and waits for the device. @throws WorkerError LENGTH_MISMATCH */
  async finish(): Promise<LoadResult> {
    if (this.#receivedBytes !== this.#totalBytes) {
      const detail = `${this.#receivedBytes} bytes arrived, but ${this.#totalBytes} were declared`;
      throw new WorkerError('LENGTH_MISMATCH', detail);
    }
    await this.flush();
    return this.#load.finish();
  }

  /** Waits until no native call uses the slots, then closes the load. */
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

  /** Copies from `offset` on while slots are free. Returns the offset that it reached. */
  #fill(chunk: Uint8Array, offset: number): number {
    let taken = offset;
    while (taken < chunk.length) {
      this.#current ??= this.#free.pop();
      const slot = this.#current;
      if (slot === undefined) break;
      const part = chunk.subarray(taken, taken + slotBytes - this.#filledBytes);
      slot.bytes.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      taken += part.length;
      if (this.#filledBytes === slotBytes) this.#push(slot);
    }
    return taken;
  }

  /** Queues a slot behind the earlier ones. After a failure no later slot is sent, and all fail with the same error. */
  #push(slot: Slot): void {
    const bytes = this.#filledBytes;
    this.#current = undefined;
    this.#filledBytes = 0;
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
    if (this.#receivedBytes + bytes > this.#totalBytes) {
      throw new WorkerError('LENGTH_MISMATCH', `More bytes arrived than the declared ${this.#totalBytes}`);
    }
    this.#receivedBytes += bytes;
    this.#onReceived(this.#receivedBytes);
  }
}
