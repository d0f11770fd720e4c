import { type Digest, digestOf } from '../seal/digest.js';
import type { NativeFile } from './file.js';
import type { Library, NativeLoadResult } from './library.js';
import type { ByteRange } from './slices.js';
import type { Slot } from './staging.js';
import { status, VramError } from './status.js';

/** The digests that the host computes during a load. */
export interface LoadDigests {
  /** SHA-256. */
  readonly flat: boolean;
  /** The fs-verity tree digest. */
  readonly tree: boolean;
}

/** The host's digests; null if not requested. */
export interface LoadResult {
  readonly flat: Digest | null;
  readonly tree: Digest | null;
}

/** The bits `VRAM_LOAD_FLAT` and `VRAM_LOAD_TREE` of `cuda/include/vram_load.h`. */
export const loadFlags = (digests: LoadDigests): number => (digests.flat ? 1 : 0) | (digests.tree ? 2 : 0);

/** Time that a native read waits for a slow sender. After that Node waits, without a pool thread. */
const waitMs = 5;

/** The same for a file. A disk that answers within this time keeps the pool thread. */
export const fileWaitMs = 20;

/** @throws the error, unless it says that a connection ended before any byte */
function requireEnd(error: unknown): true {
  if (error instanceof VramError && error.status === status.socketClosed) return true;
  throw error;
}

/** Bytes sealed at a time during a load: a multiple of a group. */
export const partBytes = 64 * 1024 * 1024;

/**
 * A transfer of one shard's bytes, in order. The host digests them and copies them to the device, if the load has one.
 * Full parts are sealed during the load. Calls of `push`, `file` and `socket` must not overlap.
 */
export class Load {
  readonly #library: Library;
  readonly #handle: number;
  readonly #digests: LoadDigests;
  readonly #onSealed: (sealedBytes: number) => void;
  #unsealedBytes = 0;
  #closed = false;

  /** `onSealed` gets the number of sealed bytes, counted from the start of the shard. */
  constructor(
    library: Library,
    handle: number,
    digests: LoadDigests,
    onSealed: (sealedBytes: number) => void = () => undefined,
  ) {
    this.#library = library;
    this.#handle = handle;
    this.#digests = digests;
    this.#onSealed = onSealed;
  }

  /** Loads the first `bytes` bytes of a slot. The slot may be reused when this resolves. @throws VramError */
  push(slot: Slot, bytes: number): Promise<void> {
    return this.#library.run('vram_load_push', this.#handle, slot.index, bytes).then(() => this.#sealFilled(bytes));
  }

  /**
   * Loads at most `length` bytes of a file from `offset`, through slots that the caller owns. Resolves with the number of
   * bytes when all are loaded or the file system pauses: await `file.settled()` then.
   * @throws WorkerError MODEL_DIR_UNAVAILABLE, VramError
   */
  async file(file: NativeFile, { offset, length }: ByteRange, slots: readonly Slot[]): Promise<number> {
    const indexes = Uint32Array.from(slots, (slot) => slot.index);
    const range = { offset, bytes: length, wait_ms: fileWaitMs, reserved: 0 };
    const received = [0];
    const { handle } = file;
    const count = indexes.length;
    await file.read(() => this.#library.run('vram_load_file', this.#handle, handle, range, indexes, count, received));
    await this.#sealFilled(Number(received[0]));
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
    await this.#sealFilled(Number(received[0]));
    return Number(received[0]);
  }

  /** Waits for the last copy. @throws VramError LENGTH_MISMATCH if bytes are missing */
  async finish(): Promise<LoadResult> {
    const result: Partial<NativeLoadResult> = {};
    await this.#library.run('vram_load_finish', this.#handle, result);
    const digest = (wanted: boolean, bytes?: Uint8Array) => (wanted && bytes ? digestOf(bytes) : null);
    return { flat: digest(this.#digests.flat, result.flat), tree: digest(this.#digests.tree, result.tree) };
  }

  /** Waits for running copies, then ends the load. Idempotent. After an error it may be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#library.run('vram_load_close', this.#handle);
    this.#closed = true;
  }

  async #sealFilled(newBytes: number): Promise<void> {
    this.#unsealedBytes += newBytes;
    if (this.#unsealedBytes < partBytes) return;
    this.#unsealedBytes %= partBytes;
    const sealed = [0];
    await this.#library.run('vram_load_seal', this.#handle, sealed);
    this.#onSealed(Number(sealed[0]));
  }
}
