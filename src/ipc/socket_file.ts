import { chmodSync, chownSync, lstatSync, rmSync, type Stats, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileInUseError, FileLock } from '../vram/file_lock.js';
import { isListening, maxSocketPathBytes, UnixListener } from '../vram/unix_socket.js';

const groupOrOthersWrite = 0o022;
const groupMode = 0o660;

/** The socket cannot be created. The message names the setting and gives the fix. */
export class SocketFileError extends Error {
  override readonly name = 'SocketFileError';
}

export interface SocketFileOptions {
  readonly path: string;
  /** The setting that names the path, for errors. */
  readonly setting: string;
  /** The group whose members may use the socket, besides its owner. */
  readonly group?: number | undefined;
}

/** A listener, and its file at that moment. */
interface Bound {
  readonly listener: UnixListener;
  readonly file: Pick<Stats, 'dev' | 'ino'>;
}

/** The socket file of this process, with a lock that keeps other processes of this program from its path. */
export class SocketFile {
  readonly listener: UnixListener;
  readonly #path: string;
  readonly #file: Pick<Stats, 'dev' | 'ino'>;
  readonly #lock: FileLock;

  private constructor({ listener, file }: Bound, path: string, lock: FileLock) {
    this.listener = listener;
    this.#path = path;
    this.#file = file;
    this.#lock = lock;
  }

  /**
   * Creates the socket, replacing a dead one. Files are checked and created by blocking calls, because this runs only at
   * start. @throws SocketFileError, FileInUseError
   */
  static async create(options: SocketFileOptions): Promise<SocketFile> {
    const { path, setting } = options;
    requirePrivateDirectory(options);
    // A lock of the path itself would take a socket there for a device, and not lock it.
    const lock = new FileLock(`${path}.worker`, setting);
    await lock.acquire().catch((error: unknown) => {
      throw error instanceof FileInUseError ? inUse(options) : error;
    });
    try {
      removeDead(options);
      return new SocketFile(bind(options), path, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Stops listening, and removes the file unless another one has replaced it. */
  async remove(): Promise<void> {
    this.listener.close();
    const file = statOf(this.#path);
    if (file?.dev === this.#file.dev && file.ino === this.#file.ino) unlinkSync(this.#path);
    await this.#lock.release();
  }
}

function requirePrivateDirectory({ path, setting }: SocketFileOptions): void {
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    throw new SocketFileError(`${setting} is too long: the path of a socket has at most ${maxSocketPathBytes} bytes`);
  }
  const directory = dirname(path);
  const stat = statOf(directory);
  if (!stat?.isDirectory()) throw new SocketFileError(`${setting}: ${directory} is not a directory`);
  if (stat.uid !== process.geteuid?.() || (stat.mode & groupOrOthersWrite) !== 0) {
    throw new SocketFileError(`${setting}: ${directory} must belong to this user, and others must not write it`);
  }
}

/** The lock is held, so no other process of this program creates the file now. */
function removeDead({ path, setting }: SocketFileOptions): void {
  const stat = statOf(path);
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new SocketFileError(`${setting}: ${path} exists and is not a socket`);
  if (isListening(path)) throw inUse({ path, setting });
  unlinkSync(path);
}

const inUse = ({ path, setting }: SocketFileOptions): FileInUseError =>
  new FileInUseError(`${setting}: ${path} is in use by another process`);

function bind({ path, setting, group }: SocketFileOptions): Bound {
  const listener = UnixListener.bind(path);
  try {
    const file = lstatSync(path);
    if (group === undefined) return { listener, file };
    // In this order no other group gets access.
    chownSync(path, process.geteuid?.() ?? 0, group);
    chmodSync(path, groupMode);
    return { listener, file };
  } catch (cause) {
    listener.close();
    rmSync(path, { force: true });
    if (group === undefined) throw cause;
    const problem = `${path} cannot be given to group ${group}: this user must be a member`;
    throw new SocketFileError(`${setting}: ${problem}`, { cause });
  }
}

/** Does not follow a symbolic link. */
const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });
