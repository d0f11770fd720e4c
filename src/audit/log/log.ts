import { realpathSync } from 'node:fs';
import { systemActor } from '../actor.js';
import type { CheckpointReason } from '../checkpoint.js';
import { type AuditRecord, type ChainHead, genesis, sha256 } from '../entry.js';
import { AppendFile } from './append_file.js';
import { Batch, type CheckpointMaker } from './batch.js';
import { type Files, systemFiles } from './fs.js';
import { rotatedFiles, rotatedPath } from './rotation.js';
import { DamagedTail, readTail } from './tail.js';

export interface LogOptions {
  readonly path: string;
  /** A file that would grow beyond is closed, and the chain goes on in a new one. */
  readonly maxBytes: number;
  readonly checkpoint: CheckpointMaker;
  readonly files?: Files;
}

/** So much of a torn line is kept in the entry that tells of it. */
const keptTornBytes = 4096;

/**
 * The chain of entries on the disk. What `append` was given is written, each line after the one before it, and synced
 * when it returns; when it throws, nothing of it is in the log, and the next call starts from what is there.
 */
export class AuditLog {
  readonly #options: LogOptions;
  readonly #files: Files;
  #file: AppendFile | undefined;
  /** Where the chain stands; undefined until a file was read. */
  #head: ChainHead | undefined;
  /** Lines of a write that failed: they may be in the file all the same. */
  #unconfirmed: readonly ChainHead[] = [];
  #torn: Buffer | undefined;
  #unended = false;
  /** A worker has put the file before this one aside. */
  #rotated = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#files = options.files ?? systemFiles;
  }

  /** @throws Error whatever keeps it from being written */
  append(happenings: readonly AuditRecord[]): void {
    this.#write((batch) => {
      for (const happening of happenings) batch.add(happening);
    });
  }

  /** Writes a signed statement of where the chain stands, if it has begun. @throws Error */
  checkpoint(reason: CheckpointReason): void {
    this.#write((batch) => {
      if (batch.end.seq > 0) batch.checkpoint(reason);
    });
  }

  /** @throws Error where it can be seen, without writing, that an entry could not be written */
  check(): void {
    this.#open().requireRoom();
  }

  /** Also where it fails, the file is closed. @throws what the file system says */
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
      this.#unconfirmed = batch.links;
      this.close();
      throw error;
    }
    this.#head = batch.end;
    this.#torn = undefined;
    this.#unended = false;
    this.#rotated = false;
  }

  /** What the file itself calls for comes first: the end of a line, a word on one that was torn, or where it goes on from. */
  #compose(file: AppendFile, fill: (batch: Batch) => void): Batch {
    const batch = new Batch(this.#head ?? genesis, this.#options.checkpoint, this.#unended);
    if (file.bytes === 0 && batch.end.seq > 0) batch.checkpoint(this.#rotated ? 'rotation' : 'moved');
    if (this.#torn !== undefined) batch.add(tornLine(this.#torn));
    fill(batch);
    return batch;
  }

  #isFull(batch: Batch): boolean {
    const bytes = this.#file?.bytes ?? 0;
    return bytes > 0 && bytes + batch.bytes.length > this.#options.maxBytes;
  }

  /** Puts the file aside. One that can't be put aside is written on: a long log is better than none. */
  #rotate(): void {
    const path = realPath(this.#options.path);
    const aside = rotatedPath(path, this.#head?.seq ?? 0);
    if (this.#torn !== undefined || this.#unended) return;
    if (this.#files.statSync(aside, { throwIfNoEntry: false }) !== undefined) return;
    try {
      this.#files.renameSync(path, aside);
      this.#rotated = true;
    } catch {
      // It is opened, and composed for, anew all the same.
    }
  }

  #open(): AppendFile {
    if (this.#file?.isAsLeft() === true) return this.#file;
    this.close();
    const file = new AppendFile(realPath(this.#options.path), this.#files);
    try {
      this.#adopt(file);
    } catch (error) {
      file.close();
      throw error;
    }
    this.#file = file;
    return file;
  }

  /** Finds where the chain stands in a file, and cuts off a line that was not written to its end. */
  #adopt(file: AppendFile): void {
    const { last, torn, unended } = readTail(file.descriptor, file.bytes, this.#files);
    // What has no entry yet, a file that could not be written from the start, is not yet a chain to hold another against.
    if (this.#head === undefined || this.#head.seq === 0) this.#head = last ?? this.#lastRotated() ?? genesis;
    else if (last !== undefined) this.#head = this.#known(last);
    if (torn.length > 0) {
      file.truncate(file.bytes - torn.length);
      this.#torn = torn;
    }
    this.#unended = unended;
  }

  #known(last: ChainHead): ChainHead {
    const found = [this.#head, ...this.#unconfirmed].find((link) => link?.seq === last.seq && link.hash === last.hash);
    if (found !== undefined) return found;
    throw new DamagedTail('somebody else has written to the audit log');
  }

  /** The last entry of the file that was put aside last: a crash came before the next one was begun. */
  #lastRotated(): ChainHead | undefined {
    const path = rotatedFiles(realPath(this.#options.path), this.#files).at(-1);
    if (path === undefined) return undefined;
    this.#rotated = true;
    const descriptor = this.#files.openSync(path, 'r');
    try {
      return readTail(descriptor, this.#files.fstatSync(descriptor).size, this.#files).last;
    } finally {
      this.#files.closeSync(descriptor);
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

/** Where a link leads to, so that what is put aside lies beside the file itself. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
