import { constants, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import type { FileHolder } from './file_holder.js';
import { type FileSystem, requireRegular, statIfExists, syncDirectory } from './fs.js';

/** Free disk space that an append requires: about one entry and one checkpoint. */
const requiredFreeBytes = 4096;

/** With this much free space, a successful check holds for a while. If the disk fills up before that, the write fails. */
const ampleFreeBytes = 64 * 1024 * 1024;
const checkHoldsMs = 1000;

/** `O_DSYNC`: a write returns after the bytes are on disk, as after fdatasync(2). It saves a call per append. */
const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_DSYNC;

/** `FUSE_SUPER_MAGIC` of statfs(2). Older kernels leave `O_DSYNC` to the server of such a file system (open(2)). */
const fuseType = 0x65735546;

/** An append-only file. Each append is on disk completely, or not at all. One call at a time. */
export class AppendFile {
  readonly #fs: FileSystem;
  readonly #path: string;
  readonly descriptor: number;
  readonly #syncsWrites: boolean;
  #bytes: number;
  /** What the last check of the path found. */
  #found: Stats;
  /** Until then, nothing but the write itself need tell that the file is writable. */
  #writableUntilMs = 0;

  private constructor(fs: FileSystem, path: string, { descriptor, found, syncsWrites }: OpenedFile) {
    this.#fs = fs;
    this.#path = path;
    this.descriptor = descriptor;
    this.#syncsWrites = syncsWrites;
    this.#bytes = lengthOf(found);
    this.#found = found;
  }

  /**
   * Opens the file, or creates it with mode 0600, and locks it.
   * @throws NotRegularFileError, and the errors of the file system and of the lock
   */
  static async open(path: string, fs: FileSystem, lock?: FileHolder): Promise<AppendFile> {
    await lock?.acquire();
    const named = await statIfExists(fs, path);
    // A pipe without a reader would block the first append.
    if (named !== undefined) requireRegular(named);
    const descriptor = await fs.open(path, flags, 0o600);
    try {
      await lock?.hold(descriptor);
      if (named === undefined) await syncDirectory(fs, dirname(path));
      const syncsWrites = (await fs.statfs(path)).type !== fuseType;
      return new AppendFile(fs, path, { descriptor, syncsWrites, found: await fs.fstat(descriptor) });
    } catch (error) {
      await fs.close(descriptor);
      throw error;
    }
  }

  /** The length after this process's last change. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the path still names this file, and no other process has changed its length. */
  async isUnchanged(): Promise<boolean> {
    // While the file is open, no other file gets its inode number.
    const named = await statIfExists(this.#fs, this.#path);
    if (named === undefined || named.ino !== this.#found.ino || named.dev !== this.#found.dev) return false;
    if (!hasSamePermissions(named, this.#found)) this.#writableUntilMs = 0;
    this.#found = named;
    return lengthOf(named) === this.#bytes;
  }

  /**
   * Writes all of `text` and syncs it. If `signal` aborts before the end, even while a call hangs, the bytes are removed.
   * @throws the signal's reason, or the file system's errors; the caller must then check `isUnchanged`, or close the file
   */
  async append(text: Buffer, signal?: AbortSignal): Promise<void> {
    try {
      for (let written = 0; written < text.length; ) {
        signal?.throwIfAborted();
        written += await this.#fs.write(this.descriptor, text, written);
      }
      if (!this.#syncsWrites) await this.#fs.fdatasync(this.descriptor);
      signal?.throwIfAborted();
      this.#bytes += text.length;
    } catch (error) {
      this.#writableUntilMs = 0;
      await this.#undoAppend();
      throw error;
    }
  }

  async truncate(bytes: number): Promise<void> {
    await this.#fs.ftruncate(this.descriptor, bytes);
    this.#bytes = bytes;
  }

  /** Checks permission and free space without a write. @throws Error */
  async requireWritable(): Promise<void> {
    this.#writableUntilMs = 0;
    // `bavail`, not `bfree`: the blocks reserved for root do not count, as root in a container cannot use them either.
    const [{ bavail, bsize }] = await Promise.all([
      this.#fs.statfs(this.#path),
      this.#fs.access(this.#path, constants.W_OK),
    ]);
    if (bavail * bsize < requiredFreeBytes) throw new Error('the disk is full');
    if (bavail * bsize >= ampleFreeBytes) this.#writableUntilMs = performance.now() + checkHoldsMs;
  }

  /**
   * As `requireWritable`, directly after `isUnchanged`. Makes no call within a second after a check that found ample space,
   * unless an append has failed or the permissions have changed. @throws Error
   */
  async requireAppendable(): Promise<void> {
    if (performance.now() >= this.#writableUntilMs) await this.requireWritable();
  }

  async close(): Promise<void> {
    await this.#fs.close(this.descriptor);
  }

  /** If this fails too, the next open finds the remaining bytes and checks them. */
  async #undoAppend(): Promise<void> {
    try {
      const found = lengthOf(await this.#fs.fstat(this.descriptor));
      if (found <= this.#bytes) return;
      await this.#fs.ftruncate(this.descriptor, this.#bytes);
      // A failed sync may have written some of the bytes.
      await this.#fs.fdatasync(this.descriptor);
    } catch {
      // `append` throws the first error.
    }
  }
}

interface OpenedFile {
  readonly descriptor: number;
  readonly found: Stats;
  readonly syncsWrites: boolean;
}

const hasSamePermissions = (a: Stats, b: Stats): boolean => a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;

const lengthOf = (stat: Stats): number => (stat.isFile() ? stat.size : 0);
