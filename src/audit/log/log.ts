import { AppendFile } from '../../storage/append_file.js';
import type { FileHolder } from '../../storage/file_holder.js';
import { type FileSystem, nodeFileSystem, openRegular, realPath, statIfExists } from '../../storage/fs.js';
import { systemActor } from '../actor.js';
import type { CheckpointReason } from '../checkpoint.js';
import { type AuditRecord, type ChainHead, genesis, sha256 } from '../entry.js';
import { Batch, type CheckpointFactory } from './batch.js';
import { rotatedFiles, rotatedPath } from './rotation.js';
import { DamagedTail, readTail } from './tail.js';

export interface LogOptions {
  readonly path: string;
  /** A file that would grow beyond this size is rotated. */
  readonly maxBytes: number;
  readonly checkpoint: CheckpointFactory;
  readonly lock?: FileHolder | undefined;
  readonly fs?: FileSystem;
}

/** Bytes of a torn line that its recovery entry keeps. */
const keptTornBytes = 4096;

/** Adds entries to a batch of at most `maxBytes`. Returns how many of the caller's records it added. */
type Fill = (batch: Batch, maxBytes: number) => number;

/**
 * The chain of entries on disk. When `append` resolves, its entries are written in order and synced. When it rejects,
 * none of them is in the log, and the next call continues from the entries on disk. One call at a time.
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

  /** The number of the last entry on disk; undefined until a file was read. */
  get lastSeq(): number | undefined {
    return this.#head?.seq;
  }

  /**
   * Appends the first records, as many as the file may take, and at least one. Returns how many. If `signal` aborts before
   * they are synced, they are removed. @throws Error for an entry that is too long, DamagedTail, the file system's errors
   */
  append(records: readonly AuditRecord[], signal?: AbortSignal): Promise<number> {
    const fill = (batch: Batch, maxBytes: number): number => {
      const rest = records.findIndex((record, index) => !batch.add(record, index === 0 ? undefined : maxBytes));
      return rest === -1 ? records.length : rest;
    };
    return this.#write(fill, signal);
  }

  /** Appends a checkpoint, unless the log is empty. @throws as `append` does */
  async checkpoint(reason: CheckpointReason): Promise<void> {
    await this.#write((batch) => {
      if (batch.head.seq > 0) batch.checkpoint(reason);
      return 0;
    });
  }

  /** Checks without a write that the next entry can be appended. @throws Error */
  async requireWritable(): Promise<void> {
    await (await this.#open()).requireWritable();
  }

  /** Closes the file, also when this throws. @throws the file system's errors */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #write(fill: Fill, signal?: AbortSignal): Promise<number> {
    let file = await this.#open();
    await file.requireAppendable();
    let { batch, count } = this.#compose(file, fill);
    if (file.bytes > 0 && file.bytes + batch.length > this.#options.maxBytes) {
      await this.#rotate();
      file = await this.#open();
      ({ batch, count } = this.#compose(file, fill));
    }
    try {
      await file.append(batch.bytes, signal);
    } catch (error) {
      this.#unconfirmed = batch.heads;
      await this.close();
      throw error;
    }
    this.#head = batch.head;
    this.#torn = undefined;
    this.#lacksNewline = false;
    this.#rotated = false;
    return count;
  }

  /** Starts with a missing newline, the checkpoint of a new file, or the entry about a torn line, if the file needs one. */
  #compose(file: AppendFile, fill: Fill): { readonly batch: Batch; readonly count: number } {
    const { checkpoint, maxBytes } = this.#options;
    const batch = new Batch({ start: this.#head ?? genesis, checkpoint, startsWithNewline: this.#lacksNewline });
    if (file.bytes === 0 && batch.head.seq > 0) batch.checkpoint(this.#rotated ? 'rotation' : 'moved');
    if (this.#torn !== undefined) batch.add(tornLine(this.#torn));
    return { batch, count: fill(batch, maxBytes - file.bytes) };
  }

  /** Renames the full file. If that fails, the log keeps its file: an oversized log loses no entries. */
  async #rotate(): Promise<void> {
    const path = await realPath(this.#fs, this.#options.path);
    const rotated = rotatedPath(path, this.#head?.seq ?? 0);
    if (this.#torn !== undefined || this.#lacksNewline) return;
    if ((await statIfExists(this.#fs, rotated)) !== undefined) return;
    try {
      await this.#fs.rename(path, rotated);
      this.#rotated = true;
    } catch {
      // `#write` opens the path again, finds the same file, and appends to it.
    }
  }

  async #open(): Promise<AppendFile> {
    if ((await this.#file?.isUnchanged()) === true && this.#file !== undefined) return this.#file;
    await this.close();
    const { path, lock } = this.#options;
    // The target of a symbolic link, so that rotated files are stored in the directory of the file itself.
    const file = await AppendFile.open(await realPath(this.#fs, path), this.#fs, lock);
    try {
      await this.#adopt(file);
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
    return file;
  }

  /** Finds the last entry of a file, and cuts off a torn line after it. */
  async #adopt(file: AppendFile): Promise<void> {
    const { last, torn, lacksNewline } = await readTail(file.descriptor, file.bytes, this.#fs);
    // While this process has no entry on disk, it has no position to compare the file with.
    if (this.#head === undefined || this.#head.seq === 0) this.#head = last ?? (await this.#lastRotated()) ?? genesis;
    else if (last !== undefined) this.#head = this.#ownHead(last);
    if (torn.length > 0) {
      await file.truncate(file.bytes - torn.length);
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
  async #lastRotated(): Promise<ChainHead | undefined> {
    const path = (await rotatedFiles(await realPath(this.#fs, this.#options.path), this.#fs)).at(-1);
    if (path === undefined) return undefined;
    this.#rotated = true;
    const { descriptor, bytes } = await openRegular(this.#fs, path);
    try {
      return (await readTail(descriptor, bytes, this.#fs)).last;
    } finally {
      await this.#fs.close(descriptor);
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
