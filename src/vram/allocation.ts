import { WorkerError } from '../errors.js';
import type { Sequence } from '../runtime/sequence.js';
import { type Digest, digestOf } from '../seal/digest.js';
import type { DescriptorSocket } from './descriptor_socket.js';
import { completeAndProve, type EarlyProof } from './early_proof.js';
import type { NativeFile } from './file.js';
import type { Library, NativeAllocationInfo } from './library.js';
import { type Completion, Load, type LoadDigests, loadFlags } from './load.js';
import { fileWaitMs } from './load_writer.js';
import { momentNow } from './moment.js';
import type { PartLayout } from './part_layout.js';
import { partBytes } from './part_seals.js';
import { type ByteRange, FullSpeed, type Throttle } from './slices.js';
import { slotBytes } from './staging.js';
import { status, VramError } from './status.js';
import { type DatedHashes, StreamingDigest } from './streaming_digest.js';
import { groupCount, hashBytes, hashesOf } from './tree.js';
import { requireNone, violationsOf } from './violations.js';

/** Bytes repaired by one native call. No other call can use the memory during a repair. */
const repairSliceBytes = 64 * 1024 * 1024;

/** Device memory that holds one shard. All offsets and lengths are bytes. */
export class Allocation {
  readonly bytes: number;
  readonly #library: Library;
  readonly #handle: number;
  #load: Load | undefined;
  #proof: EarlyProof | undefined;
  /** Undefined for a shard of one part, which is digested after its last byte. */
  readonly #streamingDigest: StreamingDigest | undefined;
  /** One digest at a time per device, because one digest occupies the whole device. */
  readonly #digests: Sequence;

  constructor(library: Library, handle: number, bytes: number, digests: Sequence) {
    this.#library = library;
    this.#handle = handle;
    this.bytes = bytes;
    this.#digests = digests;
    if (bytes <= partBytes) return;
    this.#streamingDigest = new StreamingDigest(bytes, (range, hashes) => this.#digest(range, hashes));
  }

  /**
   * Opens the load that fills the memory. Makes no call of the driver. With `thenProve`, the call that completes a small load
   * also seals and digests the memory, and `prove` returns its result. @throws VramError
   */
  load(digests: LoadDigests, { thenProve = false } = {}): Load {
    const out = [0];
    const prove = (completion: Completion) => this.#completeAndProve(completion);
    this.#library.call('vram_load_open', this.#handle, loadFlags(digests), out);
    this.#load = new Load(this.#library, Number(out[0]), digests, {
      onSealed: (bytes) => this.#streamingDigest?.sealed(bytes),
      ...(thenProve && this.bytes <= slotBytes ? { prove } : {}),
    });
    return this.#load;
  }

  /**
   * Seals memory that was just loaded, checks it as `attest` does, and digests what was not digested during the load. Returns
   * the group hashes, and when the first of them was computed.
   * @throws the signal's reason, VramError POLICY_VIOLATION with the list of violations, and the driver's errors
   */
  async prove(signal: AbortSignal): Promise<DatedHashes> {
    // It is closed. A worker keeps thousands of allocations.
    this.#load = undefined;
    if (this.#proof !== undefined) {
      const { violations, ...hashes } = this.#proof;
      this.#proof = undefined;
      requireNone(violations);
      return hashes;
    }
    if (this.#streamingDigest === undefined) return this.#proveAtOnce(signal);
    await this.seal();
    signal.throwIfAborted();
    await this.attest();
    return this.#streamingDigest.finish(signal);
  }

  /** One native call in place of three. No part was digested before the last byte. */
  async #proveAtOnce(signal: AbortSignal): Promise<DatedHashes> {
    const hashes = Buffer.alloc(groupCount(this.bytes) * hashBytes);
    return this.#digests.run(async () => {
      signal.throwIfAborted();
      const startedAt = momentNow();
      requireNone(
        await violationsOf((report) => this.#library.run('vram_prove', this.#handle, report, hashes, hashes.length)),
      );
      return { hashes, startedAt, isStable: true };
    });
  }

  async #completeAndProve(completion: Completion): Promise<void> {
    this.#proof = await this.#digests.run(() => completeAndProve(this.#library, completion, this.bytes));
  }

  /** Makes the memory read-only until `repair` or `free`. @throws VramError */
  seal(): Promise<void> {
    return this.#library.run('vram_seal', this.#handle);
  }

  /**
   * Asks the driver where sealed memory is and who can access it.
   * @throws VramError POLICY_VIOLATION with the list of violations, also for memory that is not sealed
   */
  async attest(): Promise<void> {
    requireNone(await this.violations());
  }

  /** What violates the sealing policy, according to the driver. Memory that is not sealed has one violation. */
  violations(): Promise<readonly string[]> {
    return violationsOf((report) => this.#library.run('vram_attest', this.#handle, report));
  }

  /**
   * Computes one hash per 512 KiB group, on the device. Awaits the throttle before each slice, and calls `onSlice` after
   * it, with all hashes so far at their places. @throws VramError, and the throttle's rejection
   */
  async groupHashes(
    throttle: Throttle = new FullSpeed(),
    onSlice: (slice: ByteRange, hashes: Buffer) => void = () => undefined,
  ): Promise<Buffer> {
    const hashes = Buffer.alloc(groupCount(this.bytes) * hashBytes);
    for (let offset = 0, length = 0; offset < this.bytes; offset += length) {
      length = Math.min(throttle.sliceBytes, this.bytes - offset);
      await throttle.next(length);
      await this.#digest({ offset, length }, hashes);
      onSlice({ offset, length }, hashes);
    }
    return hashes;
  }

  /** Folds group hashes into the fs-verity digest. */
  treeDigest(hashes: Buffer): Digest {
    const digest = Buffer.alloc(hashBytes);
    this.#library.call('vram_tree_digest', hashes, hashes.length / hashBytes, this.bytes, digest);
    return digestOf(digest);
  }

  /**
   * Rewrites a range of sealed memory from the same range of a file. Only groups that match `hashes`, the hashes of the
   * whole shard, are written. `throwIfReleased` is called before each slice. The memory is sealed again when this
   * settles, unless the driver refuses; see `ensureSealed`. @throws VramError DIGEST_MISMATCH if the file has other bytes,
   * WorkerError MODEL_DIR_UNAVAILABLE
   */
  async repair(file: NativeFile, range: ByteRange, hashes: Buffer, throwIfReleased: () => void): Promise<void> {
    const end = range.offset + range.length;
    for (let offset = range.offset; offset < end; ) {
      throwIfReleased();
      const bytes = Math.min(repairSliceBytes, end - offset);
      const part = hashesOf({ offset, length: bytes }, hashes);
      const slice = { offset, bytes, wait_ms: fileWaitMs, reserved: 0 };
      const repaired = [0];
      await file.read(() =>
        this.#library.run('vram_repair', this.#handle, file.handle, slice, part, part.length, repaired),
      );
      offset += Number(repaired[0]);
      if (Number(repaired[0]) < bytes) await file.settled();
    }
  }

  /**
   * Rewrites sealed memory from bytes in host memory, which begin at a group's boundary. As `repair`, only groups that
   * match `hashes` are written. @throws VramError DIGEST_MISMATCH if the bytes are others
   */
  async repairBytes(offset: number, bytes: Buffer, hashes: Buffer): Promise<void> {
    const part = hashesOf({ offset, length: bytes.length }, hashes);
    const { length } = bytes;
    await this.#library.run('vram_repair_bytes', this.#handle, offset, bytes, length, part, part.length);
  }

  /** Seals the memory if an earlier repair left it writable. @throws VramError */
  async ensureSealed(): Promise<void> {
    try {
      await this.seal();
    } catch (error) {
      if (!(error instanceof VramError) || error.status !== status.sealed) throw error;
    }
  }

  /** How the memory is divided into parts. @throws VramError */
  async layout(): Promise<PartLayout> {
    const info: Partial<NativeAllocationInfo> = {};
    await this.#library.run('vram_allocation_get_info', this.#handle, info);
    return { bytes: this.bytes, mappedBytes: Number(info.mapped_bytes), partBytes: Number(info.part_bytes) };
  }

  /**
   * Exports sealed memory to the process at the other end of a socket: sends a frame with one descriptor per part, all
   * attached to its first byte, in one native call. Returns how many bytes of the frame the socket took; the caller
   * sends the rest. 0 means that it took nothing, and that nothing was exported.
   * @throws VramError NOT_EXPORTABLE if the memory was not allocated for export
   */
  async handOver(socket: DescriptorSocket, frame: Uint8Array): Promise<number> {
    const sent = [0];
    try {
      await socket.use((descriptor) =>
        this.#library.run('vram_hand_over', this.#handle, descriptor, frame, frame.length, sent),
      );
    } catch (error) {
      if (error instanceof VramError && error.status === status.wouldBlock) return 0;
      if (error instanceof VramError && error.status === status.hostOutOfMemory) throw tooManyUnread(error);
      throw error;
    }
    return Number(sent[0]);
  }

  /**
   * Gives up exported memory without a wipe, because other processes still read it. After an error the next call
   * continues. @throws VramError INTERNAL if the memory was never exported, and must be freed
   */
  leave(): Promise<void> {
    this.#streamingDigest?.stop();
    return this.#library.run('vram_leave', this.#handle);
  }

  /** Wipes and frees the memory. After an error the memory is still allocated, and the next call continues. */
  async free(): Promise<void> {
    this.#streamingDigest?.stop();
    // The load's earlier close may have failed. Memory that a load can write to cannot be freed.
    await this.#load?.close();
    return this.#library.run('vram_free', this.#handle);
  }

  #digest(range: ByteRange, hashes: Buffer): Promise<void> {
    const { offset, length } = range;
    const part = hashesOf(range, hashes);
    return this.#digests.run(() => this.#library.run('vram_digest', this.#handle, offset, length, part, part.length));
  }
}

/** The kernel counts the unread descriptors of all processes of this user, and other programs may use up its limit. */
const tooManyUnread = (cause: VramError): WorkerError =>
  new WorkerError('HOST_OOM', 'The host has no room for more unread descriptors', {
    cause,
    retriable: true,
    retryAfterMs: 1000,
  });
