import { WorkerError } from '../../errors.js';
import type { NativeFile } from '../../vram/file.js';
import type { LoadWriter } from '../../vram/load_writer.js';
import { DuplicatedSocket } from '../../vram/socket.js';
import { type FilledSlot, type Slot, slotBytes } from '../../vram/staging.js';
import type { ByteRange } from '../state/snapshot.js';

/** Bytes that one native call reads. Between calls, other work gets the thread. */
const readSliceBytes = 64 * 1024 * 1024;

/** Filled slots that one native call loads. */
interface Batch {
  readonly slots: Slot[];
  bytes: number;
}

export interface WriterOptions {
  /** The length of the shard. */
  readonly totalBytes: number;
  /** Aborts, with the reason, when the load takes no more bytes. */
  readonly signal: AbortSignal;
  /** Reports bytes that were taken. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Writes bytes through a few staging slots into a load, in order from its position: some slots are filled while another is
 * digested and copied. Memory does not grow with the shard.
 */
export class StagingWriter {
  readonly #load: LoadWriter;
  readonly #totalBytes: number;
  readonly #onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
  #slots: readonly Slot[] = [];
  #free: Slot[] = [];
  /** Slots that the next push takes. All but the last are full. */
  #batch: Batch | undefined;
  /** Batches on their way into the load, in order. Each promise settles when its slots are free again. */
  readonly #pushes: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();
  #current: Slot | undefined;
  #filledBytes = 0;
  /** The offset of the next byte. */
  #position = 0;
  #closed = false;

  constructor(load: LoadWriter, { totalBytes, signal, onBytes }: WriterOptions) {
    this.#load = load;
    this.#totalBytes = totalBytes;
    this.signal = signal;
    this.#onBytes = onBytes;
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

  /** The bytes that are still in a slot, after all earlier ones are loaded. The caller loads them. @throws the driver's errors */
  async takeLast(): Promise<FilledSlot | undefined> {
    await this.#last;
    const slot = this.#current;
    if (slot === undefined) return undefined;
    const last = { slot, bytes: this.#filledBytes };
    this.#current = undefined;
    this.#filledBytes = 0;
    return last;
  }

  /** The next byte is that at `offset`, a multiple of a group. The group before it must be complete. @throws VramError */
  async begin(offset: number): Promise<void> {
    await this.flush();
    this.signal.throwIfAborted();
    this.#load.seek(offset);
    this.#position = offset;
  }

  /**
   * Takes a chunk. Its bytes are copied before this returns or, if it returns a promise, before that resolves.
   * @throws WorkerError LENGTH_MISMATCH if more arrives than was declared, and the driver's errors
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.signal.throwIfAborted();
    this.#count(chunk.length);
    const taken = this.#fill(chunk, 0);
    return taken === chunk.length ? undefined : this.#fillRest(chunk, taken);
  }

  /** Reads a range of an open file, natively. Stops early if the writer is closed. */
  async file(file: NativeFile, { offset, length }: ByteRange): Promise<void> {
    if (this.#current !== undefined) this.#push(this.#current);
    for (let done = 0; done < length && !this.#closed; ) {
      const part = { offset: offset + done, length: Math.min(readSliceBytes, length - done) };
      const loaded = this.#last.then(() => this.#load.file(file, part));
      this.#after(loaded);
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
    this.signal.throwIfAborted();
    const socket = DuplicatedSocket.open(descriptor);
    if (socket === undefined) return 0;
    const before = this.#position;
    const endBytes = Math.min(this.#totalBytes, before + maxBytes);
    try {
      if (this.#current !== undefined) this.#push(this.#current);
      for (let dry = false; !dry && this.#position < endBytes && !this.#closed; ) {
        const bytes = Math.min(readSliceBytes, endBytes - this.#position);
        const received = this.#last.then(() => socket.receive(this.#load, bytes, this.#slots));
        this.#after(received);
        this.#count(await received);
        dry = (await received) < bytes;
      }
      return this.#position - before;
    } finally {
      socket.close();
    }
  }

  /** Takes no more bytes. Resolves when no native call uses the slots. */
  async stop(): Promise<void> {
    this.#closed = true;
    await this.#last.catch(() => undefined);
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
      if (this.#closed) throw new WorkerError('INTERNAL', 'The commit takes no more bytes');
      this.#current ??= this.#free.pop();
      const slot = this.#current;
      if (slot === undefined) break;
      const isWhole = taken === 0 && chunk.length <= slotBytes - this.#filledBytes;
      const part = isWhole ? chunk : chunk.subarray(taken, taken + slotBytes - this.#filledBytes);
      slot.bytes.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      taken += part.length;
      if (this.#filledBytes === slotBytes) this.#push(slot);
    }
    return taken;
  }

  /**
   * Queues a slot behind the earlier ones. Slots that are filled during a push go together in the next one, because each
   * call waits for a thread. After a failure no later slot is sent, and all fail with the same error.
   */
  #push(slot: Slot): void {
    const bytes = this.#filledBytes;
    this.#current = undefined;
    this.#filledBytes = 0;
    const batch = this.#batch ?? this.#newBatch();
    batch.slots.push(slot);
    batch.bytes += bytes;
    if (bytes < slotBytes) this.#batch = undefined;
  }

  #newBatch(): Batch {
    const batch: Batch = { slots: [], bytes: 0 };
    this.#batch = batch;
    this.#last = this.#last.then(async () => {
      if (this.#batch === batch) this.#batch = undefined;
      await this.#load.push(batch.slots, batch.bytes);
      this.#pushes.shift();
      this.#free.push(...batch.slots);
    });
    this.#last.catch(() => undefined);
    this.#pushes.push(this.#last);
    return batch;
  }

  /** The next call waits for this one. Its error reaches whoever awaits it. */
  #after(call: Promise<number>): void {
    this.#last = call.then(() => undefined);
    this.#last.catch(() => undefined);
  }

  #count(bytes: number): void {
    if (this.#position + bytes > this.#totalBytes) {
      throw new WorkerError('LENGTH_MISMATCH', `More bytes arrived than the declared ${this.#totalBytes}`);
    }
    this.#position += bytes;
    this.#onBytes(bytes);
  }
}
