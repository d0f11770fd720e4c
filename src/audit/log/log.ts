import { realpathSync } from 'node:fs';
import { systemActor } from '../actor.js';
import type { CheckpointReason } from '../checkpoint.js';
import { type AuditRecord, type ChainHead, genesis, sha256 } from '../entry.js';
import { AppendFile } from './append_file.js';
import { Batch, type CheckpointFactory } from './batch.js';
import { type FileSystem, nodeFileSystem } from './fs.js';
import { rotatedFiles, rotatedPath } from './rotation.js';
import { DamagedTail, readTail } from './tail.js';

export interface LogOptions {
  readonly path: string;
  /** A file that would grow beyond this size is rotated. */
  readonly maxBytes: number;
  readonly checkpoint: CheckpointFactory;
  readonly fs?: FileSystem;
}

/** Bytes of a torn line that its recovery entry keeps. */
const keptTornBytes = 4096;

/**
 * The chain of entries on disk. When `append` returns, its entries are written in order and synced. When it throws,
 * none of them is in the log, and the next call continues from the entries on disk.
 */
export class AuditLog {
  readonly #options: LogOptions;
  readonly #fs: FileSystem;
  #file: AppendFile | undefined;
  /** The position of the last entry; undefined until a file was read. */
  #head: ChainHead | undefined;
  /** Lines of a failed append. If it could not be undone, they may be in the file. */
  #unconfirmed: readonly ChainHead[] = [];
  #torn: Buffer | undefined;
  #lacksNewline = false;
  /** Whether a worker rotated the previous file, so that the chain continues in an empty one. */
  #rotated = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#fs = options.fs ?? nodeFileSystem;
  }

  /** @throws Error for an entry that is too long, DamagedTail, or the file system's errors */
  append(records: readonly AuditRecord[]): void {
    this.#write((batch) => {
      for (const record of records) batch.add(record);
    });
  }

  /** Appends a checkpoint, unless the log is empty. @throws as `append` does */
  checkpoint(reason: CheckpointReason): void {
    this.#write((batch) => {
      if (batch.head.seq > 0) batch.checkpoint(reason);
    });
  }

  /** Checks without a write that the next entry can be appended. @throws Error */
  requireWritable(): void {
    this.#open().requireWritable();
  }

  /** Closes the file, also when this throws. @throws the file system's errors */
  close(): void {
    const file = this.#file;
    this.#file = undefined;
    file?.close();
  }

  #write(fill: (batch: Batch) => void): void {
    let batch = this.#compose(this.#open(), fill);
    if (this.#isFull(batch)) {
      this.#rotate();
      batch = this.#compose(this.#open(), fill);
    }
    const file = this.#open();
    try {
      file.append(batch.bytes);
    } catch (error) {
      this.#unconfirmed = batch.heads;
      this.close();
      throw error;
    }
    this.#head = batch.head;
    this.#torn = undefined;
    this.#lacksNewline = false;
    this.#rotated = false;
  }

  /** Starts with a missing newline, the checkpoint of a new file, or the entry about a torn line, if the file needs one. */
  #compose(file: AppendFile, fill: (batch: Batch) => void): Batch {
    const { checkpoint } = this.#options;
    const batch = new Batch({ start: this.#head ?? genesis, checkpoint, startsWithNewline: this.#lacksNewline });
    if (file.bytes === 0 && batch.head.seq > 0) batch.checkpoint(this.#rotated ? 'rotation' : 'moved');
    if (this.#torn !== undefined) batch.add(tornLine(this.#torn));
    fill(batch);
    return batch;
  }

  #isFull(batch: Batch): boolean {
    const bytes = this.#file?.bytes ?? 0;
    return bytes > 0 && bytes + batch.bytes.length > this.#options.maxBytes;
  }

  /** Renames the full file. If that fails, the log keeps its file: an oversized log loses no entries. */
  #rotate(): void {
    const path = realPath(this.#options.path);
    const rotated = rotatedPath(path, this.#head?.seq ?? 0);
    if (this.#torn !== undefined || this.#lacksNewline) return;
    if (this.#fs.statSync(rotated, { throwIfNoEntry: false }) !== undefined) return;
    try {
      this.#fs.renameSync(path, rotated);
      this.#rotated = true;
    } catch {
      // `#write` opens the path again, finds the same file, and appends to it.
    }
  }

  #open(): AppendFile {
    if (this.#file?.isUnchanged() === true) return this.#file;
    this.close();
    const file = new AppendFile(realPath(this.#options.path), this.#fs);
    try {
      this.#adopt(file);
    } catch (error) {
      file.close();
      throw error;
    }
    this.#file = file;
    return file;
  }

  /** Finds the last entry of a file, and cuts off a torn line after it. */
  #adopt(file: AppendFile): void {
    const { last, torn, lacksNewline } = readTail(file.descriptor, file.bytes, this.#fs);
    // While this process has no entry on disk, it has no position to compare the file with.
    if (this.#head === undefined || this.#head.seq === 0) this.#head = last ?? this.#lastRotated() ?? genesis;
    else if (last !== undefined) this.#head = this.#ownHead(last);
    if (torn.length > 0) {
      file.truncate(file.bytes - torn.length);
      this.#torn = torn;
    }
    this.#lacksNewline = lacksNewline;
  }

  /** The head that this process wrote and that equals `last`. @throws DamagedTail if there is none */
  #ownHead(last: ChainHead): ChainHead {
    const found = [this.#head, ...this.#unconfirmed].find((head) => head?.seq === last.seq && head.hash === last.hash);
    if (found !== undefined) return found;
    throw new DamagedTail('another process wrote to the audit log: move the file away to start a new one');
  }

  /** The last entry of the newest rotated file. A crash after the rotation leaves no other file. */
  #lastRotated(): ChainHead | undefined {
    const path = rotatedFiles(realPath(this.#options.path), this.#fs).at(-1);
    if (path === undefined) return undefined;
    this.#rotated = true;
    const descriptor = this.#fs.openSync(path, 'r');
    try {
      return readTail(descriptor, this.#fs.fstatSync(descriptor).size, this.#fs).last;
    } finally {
      this.#fs.closeSync(descriptor);
    }
  }
}

const tornLine = (torn: Buffer): AuditRecord => ({
  time: new Date().toISOString(),
  event: 'AuditRecovered',
  severity: 'warning',
  actor: systemActor,
  fields: {
    reason: 'torn',
    torn: { bytes: torn.length, sha256: sha256(torn), base64: torn.subarray(0, keptTornBytes).toString('base64') },
  },
});

/** The target of a symbolic link, so that rotated files are stored in the directory of the file itself. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
