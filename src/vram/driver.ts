import { Allocation } from './allocation.js';
import { Library, type LibraryOptions, type NativeDeviceInfo } from './library.js';
import { Load, type LoadDigests, loadFlags, partBytes } from './load.js';
import { Staging } from './staging.js';
import { VramError } from './status.js';

export interface DriverOptions extends LibraryOptions {
  /** libvram. */
  readonly libraryPath: string;
  /** The CUDA driver: `libcuda.so.1`, or the simulator. */
  readonly driverPath: string;
  /** The kernel module that `cuModuleLoadData` takes. */
  readonly kernelsPath: string;
  readonly maxAllocationBytes: number;
  readonly stagingSlots: number;
}

/** A GPU's properties. `freeBytes` is a snapshot. Every allocation takes a multiple of `granularityBytes`. */
export interface DeviceInfo {
  readonly name: string;
  readonly uuid: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly granularityBytes: number;
}

/** An open CUDA driver: its devices, their memory, and the staging slots. */
export class Driver {
  readonly deviceCount: number;
  readonly staging: Staging;
  readonly #library: Library;
  readonly #handle: number;
  /** The last digest of each device, by ordinal. */
  readonly #digests: Promise<unknown>[] = [];

  private constructor(library: Library, handle: number) {
    this.#library = library;
    this.#handle = handle;
    const count = [0];
    library.call('vram_device_count', handle, count);
    this.deviceCount = count[0] ?? 0;
    const base = [0n];
    const slots = [0];
    library.call('vram_staging', handle, base, slots);
    this.staging = new Staging(base[0] ?? 0n, slots[0] ?? 0);
  }

  /** Loads the driver and the kernels, retains each device's context, and pins the staging slots. @throws VramError */
  static async open(options: DriverOptions): Promise<Driver> {
    const library = new Library(options.libraryPath, options);
    const out = [0];
    const opened = library.run(
      'vram_open',
      {
        driver_path: options.driverPath,
        kernels_path: options.kernelsPath,
        max_allocation_bytes: options.maxAllocationBytes,
        part_bytes: partBytes,
        staging_slots: options.stagingSlots,
        reserved: 0,
      },
      out,
    );
    await opened.catch((error: unknown) => {
      library.close();
      throw error;
    });
    return new Driver(library, Number(out[0]));
  }

  /** Queries a device. @throws VramError */
  async device(ordinal: number): Promise<DeviceInfo> {
    const info: Partial<NativeDeviceInfo> = {};
    await this.#library.run('vram_device_get_info', this.#handle, ordinal, info);
    const hex = Buffer.from(info.uuid ?? []).toString('hex');
    return {
      name: info.name ?? '',
      uuid: `GPU-${hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}`,
      totalBytes: Number(info.total_bytes),
      freeBytes: Number(info.free_bytes),
      granularityBytes: Number(info.granularity_bytes),
    };
  }

  /**
   * Allocates device memory, writable and not cleared.
   * @throws VramError VRAM_OOM with the sizes, MODEL_TOO_LARGE, INVALID_PARAMS
   */
  async allocate(ordinal: number, bytes: number): Promise<Allocation> {
    const out = [0];
    try {
      await this.#library.run('vram_alloc', this.#handle, ordinal, bytes, out);
    } catch (error) {
      throw error instanceof VramError && error.code === 'VRAM_OOM'
        ? await this.#outOfMemory(error, ordinal, bytes)
        : error;
    }
    return new Allocation(this.#library, Number(out[0]), bytes, (work) => this.#serialize(ordinal, work));
  }

  /** Opens a load that digests on the host only, and uses no device memory. @throws VramError */
  async hostLoad(bytes: number, digests: LoadDigests): Promise<Load> {
    const out = [0];
    await this.#library.run('vram_load_open_host', this.#handle, bytes, loadFlags(digests), out);
    return new Load(this.#library, Number(out[0]), digests);
  }

  /** Wipes and frees all allocations, and releases the contexts. No method may be called after this. */
  async close(): Promise<void> {
    await this.#library.run('vram_close', this.#handle);
    this.#library.close();
  }

  /** The driver's free memory can be less than the worker's account says, because other processes use it too. */
  async #outOfMemory(cause: VramError, ordinal: number, bytes: number): Promise<VramError> {
    const { freeBytes, granularityBytes } = await this.device(ordinal);
    const neededBytes = Math.ceil(bytes / granularityBytes) * granularityBytes;
    const message = `GPU device ${ordinal} does not have enough free memory`;
    const sizes = { neededBytes, availableBytes: freeBytes };
    return new VramError('VRAM_OOM', message, cause.status, { cause, sizes, retryAfterMs: 1000 });
  }

  #serialize<T>(ordinal: number, work: () => Promise<T>): Promise<T> {
    const digest = (this.#digests[ordinal] ?? Promise.resolve()).then(work);
    this.#digests[ordinal] = digest.catch(() => undefined);
    return digest;
  }
}
