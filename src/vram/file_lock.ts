import { constants } from 'node:fs';
import koffi from 'koffi';
import { nodeFileSystem, realPath } from '../storage/fs.js';

/** `LOCK_EX | LOCK_NB`: flock(2), include/uapi/asm-generic/fcntl.h. */
const lockExclusiveNonBlocking = 2 | 4;

/** Another process holds the lock. The message names the setting. */
export class FileInUseError extends Error {
  override readonly name = 'FileInUseError';
}

/**
 * An exclusive lock on a file for the life of the process. It is held on the side file `<path>.lock`, so the file itself
 * can be renamed and replaced. The kernel drops the lock when the process ends, and the side file stays. On NFS the lock
 * works between hosts only if the mount supports locks (flock(2)).
 */
export class FileLock {
  readonly #path: string;
  readonly #setting: string;
  #descriptor: number | undefined;
  #acquiring: Promise<boolean> | undefined;

  /** `setting` is the one that names the file. */
  constructor(path: string, setting: string) {
    this.#path = path;
    this.#setting = setting;
  }

  /**
   * Takes the lock, unless this object holds it. Returns false if the file system has no locks.
   * @throws FileInUseError if another process holds it, or the errors of open(2)
   */
  acquire(): Promise<boolean> {
    if (this.#descriptor !== undefined) return Promise.resolve(true);
    this.#acquiring ??= this.#take().finally(() => {
      this.#acquiring = undefined;
    });
    return this.#acquiring;
  }

  async release(): Promise<void> {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) await nodeFileSystem.close(descriptor);
  }

  async #take(): Promise<boolean> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const descriptor = await nodeFileSystem.open(`${await realPath(nodeFileSystem, this.#path)}.lock`, flags, 0o600);
    const error = await flock(descriptor);
    if (error === 0) {
      this.#descriptor = descriptor;
      return true;
    }
    await nodeFileSystem.close(descriptor);
    if (error !== koffi.os.errno.EWOULDBLOCK) return false;
    throw new FileInUseError(`${this.#setting}: ${this.#path} is in use by another worker`);
  }
}

const call = koffi.load(null).func('int flock(int fd, int operation)');

/**
 * Resolves with 0 or the error number. The call does not wait for another holder, but on NFS it waits for the server, so
 * it runs on a pool thread.
 */
const flock = (descriptor: number): Promise<number> =>
  new Promise((resolve, reject) => {
    call.async(descriptor, lockExclusiveNonBlocking, (error: Error | null, result: number) => {
      if (error) reject(error);
      else resolve(result === 0 ? 0 : koffi.errno());
    });
  });
