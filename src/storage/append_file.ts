import { constants, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import type { FileHolder } from './file_holder.js';
import { type FileSystem, statIfExists, syncDirectory } from './fs.js';

/** Free disk space that an append requires: about one entry and one checkpoint. */
const requiredFreeBytes = 4096;

/** An append-only file. Each append is on disk completely, or not at all. One call at a time. */
export class AppendFile {
  readonly #fs: FileSystem;
  readonly #path: string;
  readonly descriptor: number;
  #bytes: number;

  private constructor(fs: FileSystem, path: string, descriptor: number, bytes: number) {
    this.#fs = fs;
    this.#path = path;
    this.descriptor = descriptor;
    this.#bytes = bytes;
  }

  /** Opens the file, or creates it with mode 0600, and locks it. @throws the errors of the file system and of the lock */
  static async open(path: string, fs: FileSystem, lock?: FileHolder): Promise<AppendFile> {
    await lock?.acquire();
    const isNew = (await statIfExists(fs, path)) === undefined;
    const descriptor = await fs.open(path, 'a+', 0o600);
    try {
      await lock?.hold(descriptor);
      if (isNew) await syncDirectory(fs, dirname(path));
      return new AppendFile(fs, path, descriptor, lengthOf(await fs.fstat(descriptor)));
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
    const [open, named] = await Promise.all([this.#fs.fstat(this.descriptor), statIfExists(this.#fs, this.#path)]);
    return named !== undefined && open.ino === named.ino && open.dev === named.dev && lengthOf(open) === this.#bytes;
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
      await this.#fs.fdatasync(this.descriptor);
      signal?.throwIfAborted();
      this.#bytes += text.length;
    } catch (error) {
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
    // `bavail`, not `bfree`: the blocks reserved for root do not count, as root in a container cannot use them either.
    const [{ bavail, bsize }] = await Promise.all([
      this.#fs.statfs(this.#path),
      this.#fs.access(this.#path, constants.W_OK),
    ]);
    if (bavail * bsize < requiredFreeBytes) throw new Error('the disk is full');
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

const lengthOf = (stat: Stats): number => (stat.isFile() ? stat.size : 0);
