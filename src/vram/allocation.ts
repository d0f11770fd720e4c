import { type Digest, digestOf } from '../seal/digest.js';
import type { Library } from './library.js';
import { Load, type LoadDigests, loadFlags } from './load.js';
import { status, VramError } from './status.js';
import { groupBytes, groupCount, hashBytes } from './tree.js';

/** Bytes digested by one native call: long enough to fill a device, short enough to give others their turn. */
const sliceBytes = 256 * 1024 * 1024;

const violationNames = [
  'memory type is not DEVICE',
  'managed memory',
  'another device ordinal',
  'host pointer',
  'location is not DEVICE',
  'another location id',
  'access is not as sealed',
  'another device has access',
] as const;

/** Memory of one device that holds one shard. */
export class Allocation {
  readonly bytes: number;
  readonly #library: Library;
  readonly #handle: number;
  #load: Load | undefined;
  /** One digest at a time on a device: the kernels fill it. */
  readonly #turn: <T>(work: () => Promise<T>) => Promise<T>;

  constructor(library: Library, handle: number, bytes: number, turn: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#library = library;
    this.#handle = handle;
    this.bytes = bytes;
    this.#turn = turn;
  }

  async load(digests: LoadDigests): Promise<Load> {
    const out = [0];
    await this.#library.run('vram_load_open', this.#handle, loadFlags(digests), out);
    this.#load = new Load(this.#library, Number(out[0]), digests);
    return this.#load;
  }

  /** Read-only from here on. */
  seal(): Promise<void> {
    return this.#library.run('vram_seal', this.#handle);
  }

  /** Asks the driver where the memory is and who may touch it. @throws VramError POLICY_VIOLATION, saying in what. */
  async attest(): Promise<void> {
    const report: { violations?: number } = {};
    try {
      await this.#library.run('vram_attest', this.#handle, report);
    } catch (error) {
      if (!(error instanceof VramError) || error.status !== status.policyViolation) throw error;
      const violations = report.violations ?? 0;
      const named = violationNames.filter((_, bit) => violations & (1 << bit));
      throw new VramError(
        'POLICY_VIOLATION',
        `the memory is not what a seal promises: ${named.join(', ')}`,
        error.status,
      );
    }
  }

  /** One hash per 512 KiB, computed on the device where the bytes lie. `signal` ends it between two runs. */
  async groupHashes(signal?: AbortSignal): Promise<Buffer> {
    const hashes = Buffer.alloc(groupCount(this.bytes) * hashBytes);
    for (let offset = 0; offset < this.bytes; offset += sliceBytes) {
      signal?.throwIfAborted();
      const length = Math.min(sliceBytes, this.bytes - offset);
      const start = (offset / groupBytes) * hashBytes;
      const part = hashes.subarray(start, start + groupCount(length) * hashBytes);
      await this.#turn(() => this.#library.run('vram_digest', this.#handle, offset, length, part, part.length));
    }
    return hashes;
  }

  /** The fs-verity digest that these group hashes fold into. */
  treeDigest(hashes: Buffer): Digest {
    const digest = Buffer.alloc(hashBytes);
    this.#library.call('vram_tree_digest', hashes, hashes.length / hashBytes, this.bytes, digest);
    return digestOf(digest);
  }

  /** Wipes, then frees. After an error the memory is still held, and another call goes on. */
  async free(): Promise<void> {
    // One that could not be closed when it ended is tried again: as long as it may copy, the memory is not free.
    await this.#load?.close();
    return this.#library.run('vram_free', this.#handle);
  }
}
