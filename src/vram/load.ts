import { type Digest, digestOf } from '../seal/digest.js';
import type { Library, NativeLoadResult } from './library.js';
import { LoadWriter } from './load_writer.js';
import { PartSeals } from './part_seals.js';
import type { FilledSlot } from './staging.js';

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

/** The last bytes of a load, as `vram_load_complete` takes them. The result is written into the object. */
export interface Completion {
  readonly load: number;
  readonly slot: number;
  readonly bytes: number;
  readonly result: Partial<NativeLoadResult>;
}

export interface LoadHooks {
  /** Gets the number of sealed bytes, counted from the start of the shard. */
  readonly onSealed?: (sealedBytes: number) => void;
  /** Completes the load and also proves the memory. @throws VramError */
  readonly prove?: (completion: Completion) => Promise<void>;
}

/** The bits `VRAM_LOAD_FLAT` and `VRAM_LOAD_TREE` of `cuda/include/vram_load.h`. */
export const loadFlags = (digests: LoadDigests): number => (digests.flat ? 1 : 0) | (digests.tree ? 2 : 0);

/**
 * A transfer of one shard's bytes. It is a writer from the start of the shard. Without a flat digest, more writers can fill
 * other ranges. Each byte must be written once. Full parts are sealed during the load.
 */
export class Load extends LoadWriter {
  readonly #library: Library;
  readonly #handle: number;
  readonly #digests: LoadDigests;
  readonly #seals: PartSeals;
  readonly #prove: LoadHooks['prove'];
  readonly #writers: LoadWriter[] = [];

  constructor(library: Library, handle: number, digests: LoadDigests, { onSealed, prove }: LoadHooks = {}) {
    const seals = new PartSeals(library, onSealed ?? (() => undefined));
    super(library, handle, seals);
    this.#prove = prove;
    this.#library = library;
    this.#handle = handle;
    this.#digests = digests;
    this.#seals = seals;
  }

  /** Opens another writer, which `close` closes too. No call of this load may be running. @throws VramError */
  async openWriter(): Promise<LoadWriter> {
    const out = [0];
    await this.#library.run('vram_load_open_writer', this.#handle, out);
    const writer = new LoadWriter(this.#library, Number(out[0]), this.#seals);
    this.#writers.push(writer);
    return writer;
  }

  /**
   * Loads the last bytes, if there are any, and closes the load, in one native call. Returns the digests. No other call may
   * use the load. @throws VramError LENGTH_MISMATCH if bytes are missing
   */
  async complete(last?: FilledSlot): Promise<LoadResult> {
    for (const writer of this.#writers) await writer.close();
    const result: Partial<NativeLoadResult> = {};
    const [load, slot, bytes] = [this.#handle, last?.slot.index ?? 0, last?.bytes ?? 0];
    if (this.#prove !== undefined) await this.#prove({ load, slot, bytes, result });
    else await this.#library.run('vram_load_complete', load, slot, bytes, result);
    this.closed = true;
    const digest = (wanted: boolean, bytes?: Uint8Array) => (wanted && bytes ? digestOf(bytes) : null);
    return { flat: digest(this.#digests.flat, result.flat), tree: digest(this.#digests.tree, result.tree) };
  }

  /** Waits for running copies of all writers, then ends the load. Idempotent. After an error it may be called again. */
  override async close(): Promise<void> {
    for (const writer of this.#writers) await writer.close();
    await super.close();
  }
}
