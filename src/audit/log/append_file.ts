import { constants, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import type { FileSystem } from './fs.js';

/** Free disk space that an append requires: about one entry and one checkpoint. */
const requiredFreeBytes = 4096;

/** An append-only file. Each append is on disk completely, or not at all. */
export class AppendFile {
  readonly #fs: FileSystem;
  readonly #path: string;
  readonly descriptor: number;
  #bytes: number;

  /** Opens the file, or creates it with mode 0600. @throws the file system's errors */
  constructor(path: string, fs: FileSystem) {
    this.#path = path;
    this.#fs = fs;
    const isNew = fs.statSync(path, { throwIfNoEntry: false }) === undefined;
    this.descriptor = fs.openSync(path, 'a+', 0o600);
    try {
      if (isNew) syncDirectory(dirname(path), fs);
      this.#bytes = this.#regularBytes();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The length after this process's last change. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the path still names this file, and no other process has changed its length. */
  isUnchanged(): boolean {
    const open = this.#fs.fstatSync(this.descriptor);
    const named = this.#fs.statSync(this.#path, { throwIfNoEntry: false });
    return named !== undefined && open.ino === named.ino && open.dev === named.dev && lengthOf(open) === this.#bytes;
  }

  /** Writes all of `text` and syncs it. @throws the file system's errors; the caller must then close the file */
  append(text: Buffer): void {
    try {
      let written = 0;
      while (written < text.length) written += this.#fs.writeSync(this.descriptor, text, written);
      this.#fs.fdatasyncSync(this.descriptor);
      this.#bytes += text.length;
    } catch (error) {
      this.#undoAppend();
      throw error;
    }
  }

  truncate(bytes: number): void {
    this.#fs.ftruncateSync(this.descriptor, bytes);
    this.#bytes = bytes;
  }

  /** Checks permission and free space without a write. @throws Error */
  requireWritable(): void {
    this.#fs.accessSync(this.#path, constants.W_OK);
    // `bavail`, not `bfree`: the blocks reserved for root do not count, as root in a container cannot use them either.
    const { bavail, bsize } = this.#fs.statfsSync(this.#path);
    if (bavail * bsize < requiredFreeBytes) throw new Error('the disk of the audit log is full');
  }

  close(): void {
    this.#fs.closeSync(this.descriptor);
  }

  #regularBytes(): number {
    return lengthOf(this.#fs.fstatSync(this.descriptor));
  }

  /** If this fails too, the next open finds the remaining bytes and checks them. */
  #undoAppend(): void {
    try {
      if (this.#regularBytes() > this.#bytes) this.#fs.ftruncateSync(this.descriptor, this.#bytes);
    } catch {
      // `append` throws the first error.
    }
  }
}

const lengthOf = (stat: Stats): number => (stat.isFile() ? stat.size : 0);

/** Syncs a directory, so that the name of a new file survives a crash (fsync(2)). */
function syncDirectory(path: string, fs: FileSystem): void {
  const descriptor = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
