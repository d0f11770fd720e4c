import koffi, { type LibraryHandle } from 'koffi';
import { HangWatch } from './hang_watch.js';
import { type ImmediateName, type NativeName, prototypes } from './prototypes.js';
import { driverTimeout, errorOf, status, type VramError } from './status.js';

type KoffiFunction = ReturnType<LibraryHandle['func']>;

/** A 64-bit value from koffi: a number if it is a safe integer, else a bigint. */
type Integer = number | bigint;

export interface NativeDeviceInfo {
  name: string;
  uuid: Uint8Array;
  total_bytes: Integer;
  free_bytes: Integer;
  granularity_bytes: Integer;
  alignment_bytes: Integer;
  mig: number;
  export_status: number;
}

export interface NativeDriverInfo {
  cuda_version: number;
  simulated: number;
}

export interface NativeAllocationInfo {
  mapped_bytes: Integer;
  part_bytes: Integer;
}

export interface NativeLoadResult {
  flat: Uint8Array;
  tree: Uint8Array;
}

export interface NativeFileInfo {
  bytes: Integer;
  modified_ns: Integer;
  status: number;
  /** An errno. */
  error: number;
  pending: number;
}

koffi.struct('vram_options', {
  driver_path: 'const char *',
  kernels_path: 'const char *',
  max_allocation_bytes: 'uint64_t',
  part_bytes: 'uint64_t',
  staging_slots: 'uint32_t',
  min_cuda_version: 'uint32_t',
});
koffi.struct('vram_driver_info', { cuda_version: 'uint32_t', simulated: 'uint32_t' });
koffi.struct('vram_device_info', {
  name: koffi.array('char', 256, 'String'),
  uuid: koffi.array('uint8_t', 16, 'Typed'),
  total_bytes: 'uint64_t',
  free_bytes: 'uint64_t',
  granularity_bytes: 'uint64_t',
  alignment_bytes: 'uint64_t',
  mig: 'uint32_t',
  export_status: 'int32_t',
});
koffi.struct('vram_allocation_info', {
  bytes: 'uint64_t',
  mapped_bytes: 'uint64_t',
  part_bytes: 'uint64_t',
  alignment_bytes: 'uint64_t',
  device: 'uint32_t',
  sealed: 'uint32_t',
  exportable: 'uint32_t',
  exported: 'uint32_t',
});
koffi.struct('vram_residency', { violations: 'uint32_t', sealed: 'uint32_t' });
koffi.struct('vram_file_info', {
  bytes: 'uint64_t',
  modified_ns: 'int64_t',
  status: 'int32_t',
  error: 'int32_t',
  pending: 'uint32_t',
  reserved: 'uint32_t',
});
koffi.struct('vram_file_range', { offset: 'uint64_t', bytes: 'uint64_t', wait_ms: 'uint32_t', reserved: 'uint32_t' });
koffi.struct('vram_load_result', {
  flat: koffi.array('uint8_t', 32, 'Typed'),
  tree: koffi.array('uint8_t', 32, 'Typed'),
});

/** Concurrent calls on pool threads. koffi throws above 256. By default, the pool of `main.cts` has at most as many threads. */
const maxRunning = 64;

export interface LibraryOptions {
  /** A call of the file system that makes no progress for longer fails. */
  readonly fileTimeoutSeconds: number;
  /** A driver call that runs longer counts as hanging. */
  readonly driverTimeoutSeconds: number;
  /** Called once, at the first hanging call. All calls fail from then on. */
  readonly onHang: (error: VramError) => void;
}

export interface OldestCalls {
  readonly driverMs: number;
  readonly fileMs: number;
}

/** A pending call of `run`. */
interface Call {
  readonly name: NativeName;
  /** koffi does not keep Buffer arguments alive. This reference does, until the call returns. */
  readonly args: unknown[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The loaded libvram. Arguments of a call are those of `cuda/include/vram.h`; a status other than 0 is thrown. */
export class Library {
  readonly #functions = new Map<string, KoffiFunction>();
  readonly #statusName: KoffiFunction;
  readonly #waiting: Call[] = [];
  readonly #running = new Set<Call>();
  readonly fileTimeoutSeconds: number;
  readonly #driverWatch: HangWatch;
  readonly #fileWatch: HangWatch;
  #hung: VramError | undefined;

  constructor(path: string, { fileTimeoutSeconds, driverTimeoutSeconds, onHang }: LibraryOptions) {
    this.fileTimeoutSeconds = fileTimeoutSeconds;
    const library = koffi.load(path);
    this.#statusName = library.func('const char *vram_status_name(int32_t status)');
    for (const prototype of prototypes) {
      this.#functions.set(prototype.slice(0, prototype.indexOf('(')), library.func(`int32_t ${prototype}`));
    }
    const oldest = library.func('uint64_t vram_oldest_driver_call()');
    const oldestFile = library.func('uint64_t vram_oldest_file_call()');
    this.#fileWatch = new HangWatch(oldestFile, Number.POSITIVE_INFINITY, () => undefined);
    this.#driverWatch = new HangWatch(oldest, driverTimeoutSeconds * 1000, () => {
      const error = driverTimeout(driverTimeoutSeconds);
      this.#hung = error;
      for (const call of [...this.#running, ...this.#waiting.splice(0)]) call.reject(error);
      onHang(error);
    });
  }

  /** Calls on this thread, for functions that never wait. @throws VramError */
  call(name: ImmediateName, ...args: unknown[]): void {
    this.#check(name, this.#function(name)(...args));
  }

  /**
   * Calls on a pool thread. After a timeout the rejected call may still run, and may still use its arguments.
   * @throws VramError
   */
  run(name: NativeName, ...args: unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = { name, args, resolve, reject };
      if (this.#hung !== undefined) reject(this.#hung);
      else if (this.#running.size >= maxRunning) this.#waiting.push(call);
      else this.#start(call);
    });
  }

  /** How long the oldest call of each kind has been running. */
  get oldestCalls(): OldestCalls {
    return { driverMs: this.#driverWatch.runningMs, fileMs: this.#fileWatch.runningMs };
  }

  /** The name of a status, such as `CUDA_ERROR_NOT_SUPPORTED`. */
  statusName(value: number): string {
    return String(this.#statusName(value));
  }

  /** Stops the hang watches. The library stays loaded. */
  close(): void {
    this.#driverWatch.stop();
    this.#fileWatch.stop();
  }

  /** The error of a native status. `name` is the failed function. */
  errorOf(nativeStatus: number, name: NativeName): VramError {
    return errorOf(nativeStatus, this.statusName(nativeStatus), name);
  }

  #start(call: Call): void {
    this.#running.add(call);
    this.#function(call.name).async(...call.args, (error: unknown, result: number) => {
      this.#running.delete(call);
      const next = this.#waiting.shift();
      if (next !== undefined) this.#start(next);
      try {
        if (error) throw error;
        this.#check(call.name, result);
        call.resolve();
      } catch (reason) {
        call.reject(reason);
      }
    });
  }

  #function(name: NativeName): KoffiFunction {
    const found = this.#functions.get(name);
    if (found === undefined) throw new TypeError(`${name} is not bound`);
    return found;
  }

  #check(name: NativeName, result: number): void {
    if (result !== status.ok) throw this.errorOf(result, name);
  }
}
