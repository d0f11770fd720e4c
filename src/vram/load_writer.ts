import type { NativeFile } from './file.js';
import type { Library } from './library.js';
import type { PartSeals } from './part_seals.js';
import type { ByteRange } from './slices.js';
import type { Slot } from './staging.js';
import { status, VramError } from './status.js';

/** Time that a native read waits for a slow sender. After that Node waits, without a pool thread. */
const waitMs = 5;

/** The same for a file. A disk that answers within this time keeps the pool thread. */
export const fileWaitMs = 20;

/** @throws the error, unless it says that a connection ended before any byte */
function requireEnd(error: unknown): true {
  if (error instanceof VramError && error.status === status.socketClosed) return true;
  throw error;
}

/**
 * Writes bytes into a load, in order from its position. The host digests them and copies them to the device, if the load
 * has one. Calls of one writer must not overlap; those of several writers of a load may.
 */
export class LoadWriter {
  readonly #library: Library;
  readonly #handle: number;
  readonly #seals: PartSeals;
  protected closed = false;

  constructor(library: Library, handle: number, seals: PartSeals) {
    this.#library = library;
    this.#handle = handle;
    this.#seals = seals;
  }

  /**
   * The next byte is that at `offset`, a multiple of a group.
   * @throws VramError LENGTH_MISMATCH in the middle of a group, INTERNAL
   */
  seek(offset: number): void {
    this.#library.call('vram_load_seek', this.#handle, offset);
  }

  /**
   * Loads the first `bytes` bytes of slots, of which all but the last are full. The slots may be reused when this
   * resolves. @throws VramError
   */
  async push(slots: readonly Slot[], bytes: number): Promise<void> {
    const indexes = Uint32Array.from(slots, (slot) => slot.index);
    await this.#library.run('vram_load_push_slots', this.#handle, indexes, indexes.length, bytes);
    await this.#seals.loaded(this.#handle, bytes);
  }

  /**
   * Loads at most `length` bytes of a file from `offset`, through buffers of the library. Resolves with the number of bytes
   * when all are loaded or the file system pauses: await `file.settled()` then.
   * @throws WorkerError MODEL_DIR_UNAVAILABLE, VramError
   */
  async file(file: NativeFile, { offset, length }: ByteRange): Promise<number> {
    const range = { offset, bytes: length, wait_ms: fileWaitMs, reserved: 0 };
    const received = [0];
    const { handle } = file;
    await file.read(() => this.#library.run('vram_load_file', this.#handle, handle, range, received));
    await this.#seals.loaded(this.#handle, Number(received[0]));
    return Number(received[0]);
  }

  /**
   * Receives at most `bytes` bytes from a connected socket, through slots that the caller owns. Resolves with the
   * number of bytes when all have arrived, the sender pauses or the connection ends. 0 bytes do not fail the load: another
   * connection can continue. @throws VramError
   */
  async socket(descriptor: number, bytes: number, slots: readonly Slot[]): Promise<number> {
    const indexes = Uint32Array.from(slots, (slot) => slot.index);
    const received = [0];
    const { length } = indexes;
    const hasEnded = await this.#library
      .run('vram_load_socket', this.#handle, descriptor, bytes, waitMs, indexes, length, received)
      .then(() => false, requireEnd);
    if (hasEnded) return 0;
    await this.#seals.loaded(this.#handle, Number(received[0]));
    return Number(received[0]);
  }

  /** Waits for running copies, then ends the writer. Idempotent. After an error it may be called again. */
  async close(): Promise<void> {
    if (this.closed) return;
    await this.#library.run('vram_load_close', this.#handle);
    this.closed = true;
  }
}
