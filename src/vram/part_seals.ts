import type { Library } from './library.js';

/** Bytes sealed at a time during a load: a multiple of a group. */
export const partBytes = 64 * 1024 * 1024;

/** Seals the parts of a load that are full, counted from its start, while the rest arrives. */
export class PartSeals {
  readonly #library: Library;
  readonly #onSealed: (sealedBytes: number) => void;
  #unsealedBytes = 0;
  #last: Promise<void> = Promise.resolve();

  /** `onSealed` gets the number of sealed bytes, counted from the start of the shard. */
  constructor(library: Library, onSealed: (sealedBytes: number) => void) {
    this.#library = library;
    this.#onSealed = onSealed;
  }

  /** A writer has loaded bytes, and no call uses its handle. Resolves when it may be used again. @throws VramError */
  loaded(handle: number, bytes: number): Promise<void> {
    this.#unsealedBytes += bytes;
    if (this.#unsealedBytes < partBytes) return Promise.resolve();
    this.#unsealedBytes %= partBytes;
    this.#last = this.#last.then(() => this.#seal(handle));
    return this.#last;
  }

  async #seal(handle: number): Promise<void> {
    const sealed = [0];
    await this.#library.run('vram_load_seal', handle, sealed);
    this.#onSealed(Number(sealed[0]));
  }
}
