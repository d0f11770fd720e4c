import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { WorkerError } from '../errors.js';
import type { Library, NativeFileInfo } from './library.js';
import { status, VramError } from './status.js';

export interface FileLimits {
  /** A call of the file system that makes no progress for longer fails. */
  readonly timeoutSeconds: number;
  /** Called while a call is in progress. If it throws, nothing waits for the call any longer. */
  readonly throwIfStopped: () => void;
}

/** Time between two looks at a call in progress: short at first, because most calls take microseconds. */
const maxPollMs = 50;

/** The directory, or a file in it, cannot be read for a reason that is not the client's. */
const unavailable = (why: string): WorkerError =>
  new WorkerError('MODEL_DIR_UNAVAILABLE', `The model directory cannot be read: ${why}`);

/**
 * An open regular file below a directory. libvram's threads make all calls of the file system, so one that never returns
 * blocks neither this thread nor libuv's pool.
 */
export class ModelFile {
  readonly #library: Library;
  readonly #limits: FileLimits;
  #opened: NativeFileInfo | undefined;

  private constructor(
    library: Library,
    readonly handle: number,
    limits: FileLimits,
  ) {
    this.#library = library;
    this.#limits = limits;
  }

  /**
   * Opens a file, read-only. Neither a link, `..` nor a race leads outside the directory. The caller closes the file.
   * @throws WorkerError NOT_FOUND; INVALID_PARAMS if the path leads outside or is not a regular file;
   * MODEL_DIR_UNAVAILABLE
   */
  static async open(library: Library, directory: string, path: string, limits: FileLimits): Promise<ModelFile> {
    const out = [0];
    library.call('vram_file_open', directory, path, out);
    const file = new ModelFile(library, Number(out[0]), limits);
    try {
      await file.settled();
      file.#opened = file.#requireGood();
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The size when the file was opened. */
  get bytes(): number {
    return Number(this.#opened?.bytes);
  }

  /** Runs a native call that reads the file. @throws WorkerError MODEL_DIR_UNAVAILABLE, and the call's errors */
  async read(call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      if (error instanceof VramError && error.status === status.fileError) this.#requireGood();
      throw error;
    }
  }

  /** Resolves when no call of the file system is in progress. @throws WorkerError MODEL_DIR_UNAVAILABLE */
  async settled(): Promise<void> {
    const timeoutMs = this.#limits.timeoutSeconds * 1000;
    let waitedMs = 0;
    for (let pollMs = 0; this.#info().pending !== 0; pollMs = Math.min(Math.max(1, 2 * pollMs), maxPollMs)) {
      this.#limits.throwIfStopped();
      if (waitedMs >= timeoutMs) {
        throw unavailable(`a call of its file system did not return for ${this.#limits.timeoutSeconds} seconds`);
      }
      const fromMs = performance.now();
      await (pollMs === 0 ? setImmediate() : sleep(pollMs));
      // Only time in which this process runs counts, so SIGSTOP causes no false alarm.
      waitedMs += Math.min(performance.now() - fromMs, 2 * maxPollMs);
    }
  }

  /**
   * @throws WorkerError LENGTH_MISMATCH if the size or the modification time has changed since the open,
   * MODEL_DIR_UNAVAILABLE
   */
  async requireUnchanged(): Promise<void> {
    this.#library.call('vram_file_stat', this.handle);
    await this.settled();
    const now = this.#requireGood();
    if (now.bytes === this.#opened?.bytes && now.modified_ns === this.#opened?.modified_ns) return;
    throw new WorkerError('LENGTH_MISMATCH', 'The file changed while it was read');
  }

  /** Returns at once. A call in progress ends later, without effect. */
  close(): void {
    this.#library.call('vram_file_close', this.handle);
  }

  #info(): NativeFileInfo {
    const info: Partial<NativeFileInfo> = {};
    this.#library.call('vram_file_get_info', this.handle, info);
    const { bytes = 0, modified_ns = 0, status: native = 0, error = 0, pending = 0 } = info;
    return { bytes, modified_ns, status: native, error, pending };
  }

  #requireGood(): NativeFileInfo {
    const info = this.#info();
    if (info.status === status.ok) return info;
    if (info.status === status.directoryError) throw unavailable(nameOf(info.error));
    if (info.status === status.fileError) throw fileError(info.error);
    throw this.#library.errorOf(info.status, 'vram_file_open');
  }
}

/** The client chose a path that does not lead to a file below the directory. All other errors are the host's. */
function fileError(errno: number): WorkerError {
  const { ENOENT, ENOTDIR, EXDEV, ELOOP, ENAMETOOLONG, EISDIR } = koffi.os.errno;
  if (errno === ENOENT || errno === ENOTDIR) {
    return new WorkerError('NOT_FOUND', 'The file does not exist in the model directory');
  }
  if (errno === EXDEV) return new WorkerError('INVALID_PARAMS', 'source.path leads outside the model directory');
  if (errno === ELOOP) return new WorkerError('INVALID_PARAMS', 'source.path has too many symbolic links');
  if (errno === ENAMETOOLONG) return new WorkerError('INVALID_PARAMS', 'source.path is too long');
  if (errno === EISDIR) return new WorkerError('INVALID_PARAMS', 'source.path is not a regular file');
  return unavailable(nameOf(errno));
}

const nameOf = (errno: number): string =>
  Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
