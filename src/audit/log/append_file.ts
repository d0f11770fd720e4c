import { constants, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import type { Files } from './fs.js';

/** Less room than this on the disk is none: an entry and a checkpoint take about so much. */
const roomBytes = 4096;

/** A file that grows at its end alone, by pieces that are on the disk whole or not at all. */
export class AppendFile {
  readonly #files: Files;
  readonly #path: string;
  readonly descriptor: number;
  #bytes: number;

  /** Opens the file, or makes it, mode 0600. @throws what the file system says */
  constructor(path: string, files: Files) {
    this.#path = path;
    this.#files = files;
    const isNew = files.statSync(path, { throwIfNoEntry: false }) === undefined;
    this.descriptor = files.openSync(path, 'a+', 0o600);
    try {
      if (isNew) syncDirectory(dirname(path), files);
      this.#bytes = this.#regularBytes();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Its length as this process left it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether it lies where it lay, and nobody else has changed its length. */
  isAsLeft(): boolean {
    const open = this.#files.fstatSync(this.descriptor);
    const named = this.#files.statSync(this.#path, { throwIfNoEntry: false });
    return named !== undefined && open.ino === named.ino && open.dev === named.dev && lengthOf(open) === this.#bytes;
  }

  /** Writes and syncs all of it, or none. @throws what the file system says; then nothing more may be appended to it */
  append(text: Buffer): void {
    try {
      let written = 0;
      while (written < text.length) written += this.#files.writeSync(this.descriptor, text, written);
      this.#files.fdatasyncSync(this.descriptor);
      this.#bytes += text.length;
    } catch (error) {
      this.#takeBack();
      throw error;
    }
  }

  /** Cuts its end off. */
  truncate(bytes: number): void {
    this.#files.ftruncateSync(this.descriptor, bytes);
    this.#bytes = bytes;
  }

  /** @throws what stands in the way of the next append, as far as it can be seen without one */
  requireRoom(): void {
    this.#files.accessSync(this.#path, constants.W_OK);
    // `bfree` has, beside these, what is kept back for root: no room for us, and in a container not for its root either.
    const { bavail, bsize } = this.#files.statfsSync(this.#path);
    if (bavail * bsize < roomBytes) throw new Error('the disk of the audit log is full');
  }

  close(): void {
    this.#files.closeSync(this.descriptor);
  }

  #regularBytes(): number {
    return lengthOf(this.#files.fstatSync(this.descriptor));
  }

  /** What can't be taken back is met again, and judged, when the file is opened anew. */
  #takeBack(): void {
    try {
      if (this.#regularBytes() > this.#bytes) this.#files.ftruncateSync(this.descriptor, this.#bytes);
    } catch {
      // The append has failed already, and says so.
    }
  }
}

const lengthOf = (stat: Stats): number => (stat.isFile() ? stat.size : 0);

/** Puts the name of a new file on the disk. */
function syncDirectory(path: string, files: Files): void {
  const descriptor = files.openSync(path, 'r');
  try {
    files.fsyncSync(descriptor);
  } finally {
    files.closeSync(descriptor);
  }
}
