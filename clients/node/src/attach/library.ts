import type Koffi from 'koffi';
import type { LibraryHandle } from 'koffi';
import { AttachError, type AttachFailure, statusOf } from './attach_error.js';
import { declare, type FunctionName, type Integer, type NativeError } from './native_types.js';

type KoffiFunction = ReturnType<LibraryHandle['func']>;

/** The version of the C ABI that this package binds. */
const abiVersion = 1;

/** The name by which the system's linker finds an installed library. */
export const defaultLibrary = 'libvram_attach.so.1';

/** The loaded libvram_attach. It stays loaded until the process ends. */
export class Library {
  static readonly #loaded = new Map<string, Library>();

  readonly koffi: typeof Koffi;
  readonly #functions = new Map<string, KoffiFunction>();

  private constructor(koffi: typeof Koffi, path: string) {
    this.koffi = koffi;
    const library = koffi.load(path);
    for (const [name, [result, parameters]] of Object.entries(declare(koffi))) {
      this.#functions.set(name, library.func(name, result, [...parameters]));
    }
    const version = Number(this.#function('vram_attach_version')());
    if (version !== abiVersion) throw new Error(`${path} has ABI version ${version}, not ${abiVersion}`);
  }

  /** @throws AttachError with status LIBRARY_NOT_FOUND */
  static async load(path: string): Promise<Library> {
    try {
      const { default: koffi } = await import('koffi');
      const library = Library.#loaded.get(path) ?? new Library(koffi, path);
      Library.#loaded.set(path, library);
      return library;
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause);
      const fix = 'install clients/c, or set libraryPath';
      throw new AttachError('LIBRARY_NOT_FOUND', { detail: `${path} cannot be loaded: ${detail} (${fix})` }, { cause });
    }
  }

  /** Calls a function that takes no lock and does not wait. */
  callNow(name: FunctionName, ...args: unknown[]): unknown {
    return this.#function(name)(...args);
  }

  /** Calls on a thread of libuv's pool, so the event loop does not wait. */
  call(name: FunctionName, ...args: unknown[]): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#function(name).async(...args, (error: unknown, result: number) => {
        if (error) reject(error);
        else resolve(result);
      });
    });
  }

  /** Calls a function whose last parameter is the error. @throws AttachError unless the status is 0 */
  async checked(name: FunctionName, ...args: unknown[]): Promise<void> {
    // A function that reports no details leaves it as it is.
    const error: NativeError = { code: '', detail: name, driver_result: 0, retriable: 0, retry_after_ms: 0 };
    const status = await this.call(name, ...args, error);
    if (status !== 0) throw new AttachError(statusOf(status), failureOf(error));
  }

  #function(name: FunctionName): KoffiFunction {
    const found = this.#functions.get(name);
    if (found === undefined) throw new TypeError(`${name} is not bound`);
    return found;
  }
}

function failureOf({ code, detail, driver_result, retriable, retry_after_ms }: NativeError): AttachFailure {
  return {
    code,
    detail,
    driverResult: driver_result,
    retriable: retriable !== 0,
    retryAfterMs: toNumber(retry_after_ms),
  };
}

/** The value as a number. Lengths and times are below 2^53. */
export function toNumber(value: Integer): number {
  return Number(value);
}
