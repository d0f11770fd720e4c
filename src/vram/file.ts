import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { WorkerError } from '../errors.js';
import { errnoName } from './errno.js';
import type { Library, NativeFileInfo } from './library.js';
import type { ByteRange } from './slices.js';
import { status, VramError } from './status.js';

export interface FileLimits {
  /** A call of the file system that makes no progress for longer fails. */
  readonly timeoutSeconds: number;
  /** Called while a call is in progress. If it throws, nothing waits for the call any longer. */
  readonly throwIfStopped: () => void;
}

/** Time between two looks at a call in progress: short at first, because most calls take microseconds. */
const maxPollMs = 50;

/** A directory whose files may be read, and its words in messages. */
export interface Directory {
  readonly path: string;
  /** Such as `model directory`. */
  readonly name: string;
  /** The field of a request, or another name, for a path in the directory. */
  readonly pathName: string;
}

/** An open file, as the native calls that read it need it. */
export interface NativeFile {
  readonly handle: number;
  read(call: () => Promise<void>): Promise<void>;
  settled(): Promise<void>;
}

/** What is opened: a regular file, the target of a link, or the paths below a folder, each with a NUL behind it. */
export type FileContent = { readonly kind: 'file' | 'link' } | { readonly kind: 'list'; readonly maxEntries: number };

export interface OpenOptions {
  /** Default: a regular file. */
  readonly content?: FileContent;
  readonly throwIfStopped?: () => void;
}

/** Bytes that one native call reads into memory. */
const readBytes = 1024 * 1024;

/** Time that a native read into memory waits for the file system. */
const readWaitMs = 20;

/**
 * An open regular file below a directory. libvram's threads make all calls of the file system, so one that never returns
 * blocks neither this thread nor libuv's pool.
 */
export class ModelFile implements NativeFile {
  readonly handle: number;
  readonly #library: Library;
  readonly #directory: Directory;
  readonly #limits: FileLimits;
  #opened: NativeFileInfo | undefined;

  private constructor(library: Library, handle: number, directory: Directory, limits: FileLimits) {
    this.#library = library;
    this.handle = handle;
    this.#directory = directory;
    this.#limits = limits;
  }

  /**
   * Opens a file, read-only. Neither a link, `..` nor a race leads outside the directory. The caller closes the file.
   * @throws WorkerError NOT_FOUND; INVALID_PARAMS if the path leads outside or names something else;
   * MODEL_DIR_UNAVAILABLE
   */
  static async open(
    library: Library,
    directory: Directory,
    path: string,
    { content = { kind: 'file' }, ...limits }: FileLimits & { readonly content?: FileContent },
  ): Promise<ModelFile> {
    const out = [0];
    if (content.kind === 'list') library.call('vram_list_open', directory.path, path, content.maxEntries, out);
    else library.call(content.kind === 'link' ? 'vram_link_open' : 'vram_file_open', directory.path, path, out);
    return await new ModelFile(library, Number(out[0]), directory, limits).#open();
  }

  /**
   * Opens the same file again, for calls in parallel with those of this object, also if another file has its path now. The caller
   * closes it. @throws WorkerError LENGTH_MISMATCH if the file changed since it was opened, MODEL_DIR_UNAVAILABLE
   */
  async reopen(throwIfStopped: () => void): Promise<ModelFile> {
    const out = [0];
    this.#library.call('vram_file_reopen', this.handle, out);
    const limits = { ...this.#limits, throwIfStopped };
    const other = await new ModelFile(this.#library, Number(out[0]), this.#directory, limits).#open();
    try {
      this.#requireSame(other.#opened);
      return other;
    } catch (error) {
      other.close();
      throw error;
    }
  }

  /** The size when the file was opened. */
  get bytes(): number {
    return Number(this.#opened?.bytes);
  }

  /** The size and the modification time when the file was opened. Not the inode, which some file systems do not keep. */
  get version(): string {
    return `${this.#opened?.bytes}-${this.#opened?.modified_ns}`;
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

  /** The bytes of a range, in memory. @throws WorkerError MODEL_DIR_UNAVAILABLE, LENGTH_MISMATCH beyond the end */
  async bytesOf({ offset, length }: ByteRange): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const part = buffer.subarray(done, Math.min(length, done + readBytes));
      const range = { offset: offset + done, bytes: part.length, wait_ms: readWaitMs, reserved: 0 };
      const received = [0];
      await this.read(() => this.#library.run('vram_file_read', this.handle, range, part, part.length, received));
      done += Number(received[0]);
      if (Number(received[0]) < part.length) await this.settled();
    }
    return buffer;
  }

  /** Resolves when no call of the file system is in progress. @throws WorkerError MODEL_DIR_UNAVAILABLE */
  async settled(): Promise<void> {
    const timeoutMs = this.#limits.timeoutSeconds * 1000;
    let waitedMs = 0;
    for (let pollMs = 0; this.#info().pending !== 0; pollMs = Math.min(Math.max(1, 2 * pollMs), maxPollMs)) {
      this.#limits.throwIfStopped();
      if (waitedMs >= timeoutMs) {
        const { timeoutSeconds } = this.#limits;
        throw unavailable(this.#directory, `a call of its file system did not return for ${timeoutSeconds} seconds`);
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
    this.#requireSame(this.#requireGood());
  }

  /** Returns at once. A call in progress ends later, without effect. */
  close(): void {
    this.#library.call('vram_file_close', this.handle);
  }

  async #open(): Promise<this> {
    try {
      await this.settled();
      this.#opened = this.#requireGood();
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #info(): NativeFileInfo {
    const info: Partial<NativeFileInfo> = {};
    this.#library.call('vram_file_get_info', this.handle, info);
    const { bytes = 0, modified_ns = 0, status: native = 0, error = 0, pending = 0 } = info;
    return { bytes, modified_ns, status: native, error, pending };
  }

  #requireSame(now: NativeFileInfo | undefined): void {
    if (now?.bytes === this.#opened?.bytes && now?.modified_ns === this.#opened?.modified_ns) return;
    throw new WorkerError('LENGTH_MISMATCH', 'The file changed while it was read');
  }

  #requireGood(): NativeFileInfo {
    const info = this.#info();
    if (info.status === status.ok) return info;
    if (info.status === status.directoryError) throw unavailable(this.#directory, errnoName(info.error));
    if (info.status === status.fileError) throw fileError(this.#directory, info.error);
    if (info.status === status.notAFile) throw notAFile(this.#directory);
    throw this.#library.errorOf(info.status, 'vram_file_open');
  }
}

/** The directory, or a file in it, cannot be read for a reason that is not the client's. */
const unavailable = ({ name }: Directory, why: string): WorkerError =>
  new WorkerError('MODEL_DIR_UNAVAILABLE', `The ${name} cannot be read: ${why}`);

const notAFile = ({ pathName }: Directory): VramError =>
  new VramError('INVALID_PARAMS', `${pathName} is not a regular file`, status.notAFile);

/** The client chose a path that does not lead to a file below the directory. All other errors are the host's. */
function fileError(directory: Directory, errno: number): WorkerError {
  const { ENOENT, ENOTDIR, EXDEV, ELOOP, ENAMETOOLONG, EISDIR, E2BIG } = koffi.os.errno;
  const { name, pathName } = directory;
  if (errno === ENOENT || errno === ENOTDIR) {
    return new WorkerError('NOT_FOUND', `The file does not exist in the ${name}`);
  }
  if (errno === EXDEV) return new WorkerError('INVALID_PARAMS', `${pathName} leads outside the ${name}`);
  if (errno === ELOOP) return new WorkerError('INVALID_PARAMS', `${pathName} has too many symbolic links`);
  if (errno === ENAMETOOLONG) return new WorkerError('INVALID_PARAMS', `${pathName} is too long`);
  if (errno === E2BIG) return new WorkerError('INVALID_PARAMS', `${pathName} has too many files`);
  if (errno === EISDIR) return notAFile(directory);
  return unavailable(directory, errnoName(errno));
}
