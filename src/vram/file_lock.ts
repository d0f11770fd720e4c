import { constants } from 'node:fs';
import koffi from 'koffi';
import type { FileHolder } from '../storage/file_holder.js';
import { isMissing, nodeFileSystem, realPath, statIfExists } from '../storage/fs.js';
import { duplicateDescriptor, lockDescriptor } from './flock.js';

/** Another process holds the lock. The message names the setting. */
export class FileInUseError extends Error {
  override readonly name = 'FileInUseError';
}

/** A locked file. The lock ends when the descriptor is closed. */
interface LockedFile {
  readonly descriptor: number;
  readonly dev: number;
  readonly ino: number;
}

/**
 * An exclusive lock on a file for the life of the process. The side file `<path>.lock` holds it for the name, so that the
 * file can be renamed and replaced. The file itself holds it too, so that no hard link and no bind mount is another name.
 * The kernel drops both locks when the process ends, and the side file stays. On NFS a lock works between hosts only if the
 * mount supports locks (flock(2)). A file that is not regular, such as a device, is not locked.
 */
export class FileLock implements FileHolder {
  readonly #path: string;
  readonly #setting: string;
  #side: LockedFile | undefined;
  /** The oldest file that still has a name, and the newest one. */
  #files: readonly LockedFile[] = [];
  #acquiring: Promise<boolean> | undefined;
  #isReleased = false;

  /** `setting` is the one that names the file. */
  constructor(path: string, setting: string) {
    this.#path = path;
    this.#setting = setting;
  }

  /** Whether this object holds the lock on the name. */
  get isHeld(): boolean {
    return this.#side !== undefined;
  }

  /**
   * Takes the lock on the file, if it exists, and on its name, unless this object holds them. Returns false if the file system
   * has no locks. @throws FileInUseError if another process holds one, or the errors of open(2)
   */
  acquire(): Promise<boolean> {
    if (this.#side !== undefined) return Promise.resolve(true);
    this.#acquiring ??= this.#take().finally(() => {
      this.#acquiring = undefined;
    });
    return this.#acquiring;
  }

  /**
   * Locks an open file that has the name, or is about to get it, unless it is locked. The lock remains when the caller closes
   * the descriptor. @throws FileInUseError if another process holds it
   */
  async hold(descriptor: number): Promise<void> {
    const { dev, ino } = await nodeFileSystem.fstat(descriptor);
    if (this.#files.some((file) => file.dev === dev && file.ino === ino)) return;
    const file = await this.#lock(duplicateDescriptor(descriptor));
    if (file === undefined) return;
    const replaced = this.#files;
    this.#files = [file];
    for (const old of replaced) {
      const isOldest = this.#files.length === 1;
      if (isOldest && (await hasName(old.descriptor))) this.#files = [old, file];
      else await close(old);
    }
    await this.#requireUnreleased();
  }

  /** Lets another process use the file. This object cannot take the lock again. */
  async release(): Promise<void> {
    this.#isReleased = true;
    const held = [...this.#files, ...(this.#side === undefined ? [] : [this.#side])];
    this.#files = [];
    this.#side = undefined;
    for (const file of held) await close(file);
  }

  async #take(): Promise<boolean> {
    await this.#requireUnreleased();
    const path = await realPath(nodeFileSystem, this.#path);
    const found = await statIfExists(nodeFileSystem, path);
    if (found !== undefined && !found.isFile()) return true;
    await this.#holdExisting(path);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    this.#side = await this.#lock(await nodeFileSystem.open(`${path}.lock`, flags, 0o600));
    await this.#requireUnreleased();
    return this.#side !== undefined;
  }

  /** Also drops the locks that were taken while `release` ran. @throws Error after a release */
  async #requireUnreleased(): Promise<void> {
    if (!this.#isReleased) return;
    await this.release();
    throw new Error(`the lock on ${this.#path} was released`);
  }

  async #holdExisting(path: string): Promise<void> {
    const descriptor = await openExisting(path);
    if (descriptor === undefined) return;
    try {
      await this.hold(descriptor);
    } finally {
      await nodeFileSystem.close(descriptor);
    }
  }

  /** Locks a file, or closes it. Undefined if its file system has no locks. */
  async #lock(descriptor: number): Promise<LockedFile | undefined> {
    let isLocked = false;
    try {
      const { dev, ino } = await nodeFileSystem.fstat(descriptor);
      const error = await lockDescriptor(descriptor);
      isLocked = error === 0;
      if (isLocked) return { descriptor, dev, ino };
      if (error !== koffi.os.errno.EWOULDBLOCK) return undefined;
    } finally {
      if (!isLocked) await close({ descriptor });
    }
    throw new FileInUseError(`${this.#setting}: ${this.#path} is in use by another worker`);
  }
}

/** Whether any name leads to an open file. A file that cannot be asked counts as one that has a name. */
const hasName = (descriptor: number): Promise<boolean> =>
  nodeFileSystem.fstat(descriptor).then(
    ({ nlink }) => nlink > 0,
    () => true,
  );

/** The descriptor is closed even if close(2) fails. */
const close = ({ descriptor }: Pick<LockedFile, 'descriptor'>): Promise<void> =>
  nodeFileSystem.close(descriptor).catch(() => undefined);

/** Opens a file for a lock. On NFS that needs a writable descriptor, on a read-only file system there is none. */
async function openExisting(path: string): Promise<number | undefined> {
  for (const flags of [constants.O_RDWR, constants.O_RDONLY]) {
    try {
      return await nodeFileSystem.open(path, flags);
    } catch (error) {
      if (isMissing(error)) return undefined;
    }
  }
  return undefined;
}
