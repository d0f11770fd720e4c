import { Sequence } from '../runtime/sequence.js';
import { Allocation } from './allocation.js';
import { type Directory, ModelFile, type OpenOptions } from './file.js';
import {
  Library,
  type LibraryOptions,
  type NativeDeviceInfo,
  type NativeDriverInfo,
  type OldestCalls,
} from './library.js';
import { Load, type LoadDigests, loadFlags } from './load.js';
import { openDevices } from './open_devices.js';
import type { PartLayout } from './part_layout.js';
import { partBytes } from './part_seals.js';
import { Staging } from './staging.js';
import { status, VramError } from './status.js';
import { Unfreed } from './unfreed.js';

export interface DriverOptions extends LibraryOptions {
  /** libvram. */
  readonly libraryPath: string;
  /** The CUDA driver: `libcuda.so.1`, or the simulator. */
  readonly driverPath: string;
  /** The kernel module that `cuModuleLoadData` takes. */
  readonly kernelsPath: string;
  /** The least CUDA version that the driver must support: 13000 for 13.0. */
  readonly minCudaVersion: number;
  readonly maxAllocationBytes: number;
  readonly stagingSlots: number;
  /** Slots besides those, for commits whose bytes arrive in any order. Default: 0. */
  readonly spareSlots?: number | undefined;
  /** The devices to use; undefined for all. The others do not get a context. */
  readonly gpuDevices: readonly number[] | undefined;
}

/** A GPU's properties. `freeBytes` is a snapshot. Every allocation takes a multiple of `granularityBytes`. */
export interface DeviceInfo {
  readonly name: string;
  readonly uuid: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly granularityBytes: number;
}

/** `VRAM_ALLOC_EXPORTABLE` of `cuda/include/vram_allocation.h`. */
const exportableFlag = 1;

export interface AllocateOptions {
  /** Whether `Allocation.handOver` can give the memory to another process. This cannot be changed later. */
  readonly exportable?: boolean;
}

/** An open CUDA driver: the devices in use, their memory, and the staging slots. */
export class Driver {
  /** The ordinals of the devices in use. */
  readonly ordinals: readonly number[];
  /** Whether the library is the simulator, under any file name. */
  readonly isSimulator: boolean;
  readonly staging: Staging;
  readonly unfreed = new Unfreed();
  readonly #library: Library;
  readonly #handle: number;
  /** The digests of each device, by ordinal. */
  readonly #digests = new Map<number, Sequence>();

  private constructor(library: Library, handle: number, ordinals: readonly number[], spareSlots: number) {
    this.#library = library;
    this.#handle = handle;
    this.ordinals = ordinals;
    const info: Partial<NativeDriverInfo> = {};
    library.call('vram_driver_get_info', handle, info);
    this.isSimulator = info.simulated !== 0;
    const base = [0n];
    const slots = [0];
    library.call('vram_staging', handle, base, slots);
    this.staging = new Staging(base[0] ?? 0n, slots[0] ?? 0, spareSlots);
  }

  /**
   * Loads the driver, opens the devices in use, loads the kernels into them, and pins the staging slots.
   * @throws WorkerError NOT_FOUND if a device does not exist, VramError
   */
  static async open(options: DriverOptions): Promise<Driver> {
    const library = new Library(options.libraryPath, options);
    try {
      const handle = await openLibrary(library, options);
      const ordinals = await openDevices(library, handle, options.gpuDevices);
      return new Driver(library, handle, ordinals, options.spareSlots ?? 0);
    } catch (error) {
      library.close();
      throw error;
    }
  }

  /** Queries a device. @throws VramError */
  async device(ordinal: number): Promise<DeviceInfo> {
    const info = await this.#query(ordinal);
    const hex = Buffer.from(info.uuid ?? []).toString('hex');
    return {
      name: info.name ?? '',
      uuid: `${info.mig === 0 ? 'GPU' : 'MIG'}-${hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}`,
      totalBytes: Number(info.total_bytes),
      freeBytes: Number(info.free_bytes),
      granularityBytes: Number(info.granularity_bytes),
    };
  }

  /** Why a device cannot export memory, as a trial found when it was opened; null if it can. @throws VramError */
  async exportError(ordinal: number): Promise<string | null> {
    const { export_status: result = status.ok } = await this.#query(ordinal);
    return result === status.ok ? null : this.#library.statusName(result);
  }

  /**
   * Allocates device memory, writable and not cleared.
   * @throws VramError VRAM_OOM with the sizes, MODEL_TOO_LARGE, INVALID_PARAMS, NOT_EXPORTABLE
   */
  async allocate(ordinal: number, bytes: number, { exportable = false }: AllocateOptions = {}): Promise<Allocation> {
    const out = [0];
    const flags = exportable ? exportableFlag : 0;
    try {
      await this.#library.run('vram_alloc', this.#handle, ordinal, bytes, flags, out);
    } catch (error) {
      throw await this.#withSizes(error, ordinal, bytes);
    }
    return this.#allocation(Number(out[0]), ordinal, bytes);
  }

  /**
   * Maps memory that another process exported, read-only and sealed. Other processes may still write it, so digest it
   * first. The descriptors, one per part, stay the caller's.
   * @throws VramError CUDA_ERROR for a descriptor that is not exported memory, POLICY_VIOLATION for another device's
   */
  async adopt(ordinal: number, layout: PartLayout, descriptors: readonly number[]): Promise<Allocation> {
    const { bytes, partBytes: each } = layout;
    const out = [0];
    const numbers = Int32Array.from(descriptors);
    await this.#library.run('vram_adopt', this.#handle, ordinal, bytes, each, numbers, numbers.length, out);
    return this.#allocation(Number(out[0]), ordinal, bytes);
  }

  /** Opens a load that digests on the host only, and uses no device memory. @throws VramError */
  async hostLoad(bytes: number, digests: LoadDigests): Promise<Load> {
    const out = [0];
    await this.#library.run('vram_load_open_host', this.#handle, bytes, loadFlags(digests), out);
    return new Load(this.#library, Number(out[0]), digests);
  }

  /**
   * Opens a file, a link or a list below a directory. `throwIfStopped` can end the waits for it. See `ModelFile.open`.
   * @throws WorkerError NOT_FOUND, INVALID_PARAMS, MODEL_DIR_UNAVAILABLE, and what `throwIfStopped` throws
   */
  openFile(
    directory: Directory,
    path: string,
    { throwIfStopped = () => undefined, ...content }: OpenOptions = {},
  ): Promise<ModelFile> {
    const limits = { timeoutSeconds: this.#library.fileTimeoutSeconds, throwIfStopped };
    return ModelFile.open(this.#library, directory, path, { ...limits, ...content });
  }

  /** How long the oldest call of the driver and of the file system has been running. */
  get oldestCalls(): OldestCalls {
    return this.#library.oldestCalls;
  }

  /** Wipes and frees all allocations, and releases the contexts. No method may be called after this. */
  async close(): Promise<void> {
    await this.#library.run('vram_close', this.#handle);
    this.#library.close();
  }

  /**
   * An error, with the sizes if it is VRAM_OOM. The driver's free memory can be less than the worker's account says, because
   * other processes use it too.
   */
  async #withSizes(cause: unknown, ordinal: number, bytes: number): Promise<unknown> {
    if (!(cause instanceof VramError) || cause.code !== 'VRAM_OOM') return cause;
    const { freeBytes, granularityBytes } = await this.device(ordinal);
    const neededBytes = Math.ceil(bytes / granularityBytes) * granularityBytes;
    const message = `GPU device ${ordinal} does not have enough free memory`;
    const sizes = { neededBytes, availableBytes: freeBytes };
    return new VramError('VRAM_OOM', message, cause.status, { cause, sizes, retryAfterMs: 1000 });
  }

  async #query(ordinal: number): Promise<Partial<NativeDeviceInfo>> {
    const info: Partial<NativeDeviceInfo> = {};
    await this.#library.run('vram_device_get_info', this.#handle, ordinal, info);
    return info;
  }

  #allocation(handle: number, ordinal: number, bytes: number): Allocation {
    const digests = this.#digests.get(ordinal) ?? new Sequence();
    this.#digests.set(ordinal, digests);
    return new Allocation(this.#library, handle, bytes, digests);
  }
}

/** Loads the driver library. Returns its handle. */
async function openLibrary(library: Library, options: DriverOptions): Promise<number> {
  const out = [0];
  const native = {
    driver_path: options.driverPath,
    kernels_path: options.kernelsPath,
    max_allocation_bytes: options.maxAllocationBytes,
    part_bytes: partBytes,
    staging_slots: options.stagingSlots + (options.spareSlots ?? 0),
    min_cuda_version: options.minCudaVersion,
  };
  await library.run('vram_open', native, out);
  return Number(out[0]);
}
