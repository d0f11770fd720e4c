import { type Digest, digestOf } from '../seal/digest.js';
import type { Library, NativeLoadResult } from './library.js';
import type { Slot } from './staging.js';

/** What the host computes over the bytes as they pass. */
export interface LoadDigests {
  readonly flat: boolean;
  readonly tree: boolean;
}

export interface LoadResult {
  readonly flat: Digest | null;
  readonly tree: Digest | null;
}

/** `VRAM_LOAD_FLAT`, `VRAM_LOAD_TREE` */
export const loadFlags = (digests: LoadDigests): number => (digests.flat ? 1 : 0) | (digests.tree ? 2 : 0);

/** A sender that fills no slot in this time is waited for elsewhere than on a thread of the pool. */
const dryMs = 5;

/** What is sealed at a time while a shard arrives. */
export const partBytes = 64 * 1024 * 1024;

/**
 * Bytes on their way in, in order: digested on the host as they pass, and copied to the device if the load has one. What
 * is full there is sealed while the rest comes.
 */
export class Load {
  readonly #library: Library;
  readonly #handle: number;
  readonly #digests: LoadDigests;
  readonly #onSealed: (sealedBytes: number) => void;
  #unsealedBytes = 0;
  #closed = false;

  /** `onSealed` is told how many bytes, from the first on, nothing can write any more. */
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

  /** The next `bytes` bytes are at the start of the slot, which is free again when this resolves. One at a time. */
  push(slot: Slot, bytes: number): Promise<void> {
    return this.#library.run('vram_load_push', this.#handle, slot.index, bytes).then(() => this.#sealFilled(bytes));
  }

  /** The next `bytes` bytes are in an open file at `offset`; the slots are free again when this resolves. */
  file(descriptor: number, offset: number, bytes: number, slots: readonly Slot[]): Promise<void> {
    const indexes = Uint32Array.from(slots, (slot) => slot.index);
    const { length } = indexes;
    const loaded = this.#library.run('vram_load_file', this.#handle, descriptor, offset, bytes, indexes, length);
    return loaded.then(() => this.#sealFilled(bytes));
  }

  /**
   * The next bytes are received from a connected socket while they keep coming, at most `bytes` of them; how many came.
   * The slots are free again when this resolves. @throws VramError LENGTH_MISMATCH when the sender has left
   */
  async socket(descriptor: number, bytes: number, slots: readonly Slot[]): Promise<number> {
    const indexes = Uint32Array.from(slots, (slot) => slot.index);
    const received = [0];
    const { length } = indexes;
    await this.#library.run('vram_load_socket', this.#handle, descriptor, bytes, dryMs, indexes, length, received);
    await this.#sealFilled(Number(received[0]));
    return Number(received[0]);
  }

  /** Waits for the last copy. @throws VramError LENGTH_MISMATCH when bytes are missing. */
  async finish(): Promise<LoadResult> {
    const result: Partial<NativeLoadResult> = {};
    await this.#library.run('vram_load_finish', this.#handle, result);
    const digest = (wanted: boolean, bytes?: Uint8Array) => (wanted && bytes ? digestOf(bytes) : null);
    return { flat: digest(this.#digests.flat, result.flat), tree: digest(this.#digests.tree, result.tree) };
  }

  /** Gives the load up; harmless when it is closed. After an error another call goes on. */
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
