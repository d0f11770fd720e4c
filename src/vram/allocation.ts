import { type Digest, digestOf } from '../seal/digest.js';
import type { Library } from './library.js';
import { Load, type LoadDigests, loadFlags } from './load.js';
import { type Throttle, unthrottled } from './slices.js';
import { status, VramError } from './status.js';
import { StreamingDigest } from './streaming_digest.js';
import { groupBytes, groupCount, hashBytes } from './tree.js';

/** Bytes that one native call repairs: it has the memory to itself meanwhile. */
const repairSliceBytes = 64 * 1024 * 1024;

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
  readonly #arrival: StreamingDigest;
  /** One digest at a time on a device: the kernels fill it. */
  readonly #turn: <T>(work: () => Promise<T>) => Promise<T>;

  constructor(library: Library, handle: number, bytes: number, turn: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#library = library;
    this.#handle = handle;
    this.bytes = bytes;
    this.#turn = turn;
    this.#arrival = new StreamingDigest(bytes, (offset, length, hashes) => this.#digest(offset, length, hashes));
  }

  async load(digests: LoadDigests): Promise<Load> {
    const out = [0];
    await this.#library.run('vram_load_open', this.#handle, loadFlags(digests), out);
    this.#load = new Load(this.#library, Number(out[0]), digests, (bytes) => this.#arrival.sealed(bytes));
    return this.#load;
  }

  /** Read-only from here on. */
  seal(): Promise<void> {
    return this.#library.run('vram_seal', this.#handle);
  }

  /**
   * Asks the driver where sealed memory is and who may touch it. @throws VramError POLICY_VIOLATION, saying in what; that
   * it is not sealed is a violation too.
   */
  async attest(): Promise<void> {
    const report: { violations?: number; sealed?: number } = {};
    try {
      await this.#library.run('vram_attest', this.#handle, report);
    } catch (error) {
      if (!(error instanceof VramError) || error.status !== status.policyViolation) throw error;
    }
    const violations = report.violations ?? 0;
    const named: string[] = violationNames.filter((_, bit) => violations & (1 << bit));
    if (report.sealed !== 1) named.push('not sealed');
    if (named.length === 0) return;
    const detail = `the memory is not what a seal promises: ${named.join(', ')}`;
    throw new VramError('POLICY_VIOLATION', detail, status.policyViolation);
  }

  /** One hash per 512 KiB, computed on the device where the bytes lie. What the pace rejects with ends it. */
  async groupHashes(pace: Throttle = unthrottled): Promise<Buffer> {
    const hashes = Buffer.alloc(groupCount(this.bytes) * hashBytes);
    for (let offset = 0, length = 0; offset < this.bytes; offset += length) {
      length = Math.min(pace.sliceBytes, this.bytes - offset);
      await pace.next(length);
      await this.#digest(offset, length, hashes);
    }
    return hashes;
  }

  /**
   * The group hashes of memory that has just been loaded and sealed: what was sealed before the rest came is digested
   * already. The signal ends it.
   */
  finishStreamingDigest(signal: AbortSignal): Promise<Buffer> {
    return this.#arrival.hashes(signal);
  }

  /** The fs-verity digest that these group hashes fold into. */
  treeDigest(hashes: Buffer): Digest {
    const digest = Buffer.alloc(hashBytes);
    this.#library.call('vram_tree_digest', hashes, hashes.length / hashBytes, this.bytes, digest);
    return digestOf(digest);
  }

  /**
   * Writes damaged bytes of sealed memory once more, from an open file; nothing but bytes with the given group hashes is
   * written. `goOn` is asked before each slice. The memory is sealed again when this settles, unless the driver refuses.
   * @throws VramError DIGEST_MISMATCH where the file has other bytes, and the driver's errors
   */
  async repair(descriptor: number, offset: number, length: number, hashes: Buffer, goOn: () => void): Promise<void> {
    const end = offset + length;
    for (let from = offset; from < end; from += repairSliceBytes) {
      goOn();
      const bytes = Math.min(repairSliceBytes, end - from);
      const part = hashesOf(hashes, from, bytes);
      await this.#library.run('vram_repair', this.#handle, descriptor, from, bytes, part, part.length);
    }
  }

  /** Makes the memory read-only where an earlier repair could not. */
  async ensureSealed(): Promise<void> {
    try {
      await this.seal();
    } catch (error) {
      if (!(error instanceof VramError) || error.status !== status.sealed) throw error;
    }
  }

  /** Wipes, then frees. After an error the memory is still held, and another call goes on. */
  async free(): Promise<void> {
    this.#arrival.stop();
    // One that could not be closed when it ended is tried again: as long as it may copy, the memory is not free.
    await this.#load?.close();
    return this.#library.run('vram_free', this.#handle);
  }

  #digest(offset: number, length: number, hashes: Buffer): Promise<void> {
    const part = hashesOf(hashes, offset, length);
    return this.#turn(() => this.#library.run('vram_digest', this.#handle, offset, length, part, part.length));
  }
}

/** The hashes of the groups from `offset` on, for `length` bytes. */
function hashesOf(hashes: Buffer, offset: number, length: number): Buffer {
  const start = (offset / groupBytes) * hashBytes;
  return hashes.subarray(start, start + groupCount(length) * hashBytes);
}
