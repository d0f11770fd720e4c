import type { ByteSink, HostFile } from '../../sources/egress/byte_sink.js';
import type { Allocation } from '../../vram/allocation.js';
import { groupBytes } from '../../vram/tree.js';
import type { ByteRange } from '../state/snapshot.js';

/** The hashes of the whole shard as it should be, and what ends the repair between groups. */
interface RepairOptions {
  readonly groupHashes: Buffer;
  readonly throwIfStopped: () => void;
}

/**
 * Writes the bytes of one damaged range into a sealed shard, a group of 512 KiB at a time. A group with another hash than
 * the sealed one is never written. @throws VramError DIGEST_MISMATCH for such a group
 */
export class RepairSink implements ByteSink {
  readonly #allocation: Allocation;
  readonly #end: number;
  readonly #options: RepairOptions;
  readonly #buffer = Buffer.allocUnsafe(groupBytes);
  /** The offset of the current group in the shard, and its bytes so far. */
  #offset: number;
  #filledBytes = 0;

  constructor(allocation: Allocation, { offset, length }: ByteRange, options: RepairOptions) {
    this.#allocation = allocation;
    this.#offset = offset;
    this.#end = offset + length;
    this.#options = options;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length; ) {
      const group = this.#buffer.subarray(0, Math.min(groupBytes, this.#end - this.#offset));
      const part = chunk.subarray(taken, taken + group.length - this.#filledBytes);
      group.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      taken += part.length;
      if (this.#filledBytes === group.length) await this.#repair(group);
    }
  }

  /** Reads a local file natively. */
  file(file: HostFile, range: ByteRange): Promise<void> {
    const { groupHashes, throwIfStopped } = this.#options;
    return this.#allocation.repair(file, range, groupHashes, throwIfStopped);
  }

  async #repair(group: Buffer): Promise<void> {
    this.#options.throwIfStopped();
    await this.#allocation.repairBytes(this.#offset, group, this.#options.groupHashes);
    this.#offset += group.length;
    this.#filledBytes = 0;
  }
}
