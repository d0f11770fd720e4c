import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AppendFile } from '../../storage/append_file.js';
import type { FileHolder } from '../../storage/file_holder.js';
import { type FileSystem, nodeFileSystem, syncDirectory } from '../../storage/fs.js';
import { headerLine, type ManifestChange, type ManifestContent, recordLine } from './manifest_file.js';
import type { FoundJournal } from './manifest_reader.js';

export interface JournalOptions {
  /** The file itself, not a link to it. */
  readonly path: string;
  /** Without it, other workers can use the file too. */
  readonly lock?: FileHolder | undefined;
  readonly fs?: FileSystem | undefined;
}

/** Records beyond twice the number of entries and leases after which the file is rewritten. */
const spareRecords = 1000;

/** Records that are formatted in one turn of the event loop. */
const chunkRecords = 500;

/**
 * The file of the manifest: a header, then a record per change. A change is one append, which is either on disk or removed.
 * A rewrite contains only changes that were on disk before. One call at a time.
 */
export class ManifestJournal {
  readonly #path: string;
  readonly #fs: FileSystem;
  readonly #lock: FileHolder | undefined;
  /** Undefined if it is not known what the file contains: before the first rewrite, and after an append without an undo. */
  #file: AppendFile | undefined;
  #records = 0;
  /** The number of records from which on a rewrite is tried again. */
  #nextRewrite = 0;
  /** Why there is no file. */
  #failure: unknown = new Error('the manifest does not exist yet');

  constructor({ path, lock, fs = nodeFileSystem }: JournalOptions) {
    this.#path = path;
    this.#lock = lock;
    this.#fs = fs;
  }

  /** Continues the file that was read, without a record that a crash cut off. @throws the file system's errors */
  async adopt({ records, bytes, fileBytes }: FoundJournal): Promise<void> {
    try {
      const file = await AppendFile.open(this.#path, this.#fs, this.#lock);
      this.#file = file;
      if (file.bytes !== fileBytes) throw new Error('the manifest changed while it was read');
      if (fileBytes !== bytes) await file.truncate(bytes);
      this.#records = records;
      // A rewrite that a crash cut off takes space.
      await this.#fs.unlink(this.#newPath).catch(() => undefined);
    } catch (error) {
      await this.#abandon(error);
      throw error;
    }
  }

  /**
   * Appends changes to the file that has `content`. Before that, rewrites the file with `content` if it is not known,
   * after a change by another process, or if most records are obsolete. Resolves when the changes are synced. If `signal` aborts
   * before that, they are removed. @throws the signal's reason, or the file system's errors; then no change is in the file
   */
  async append(changes: readonly ManifestChange[], content: ManifestContent, signal?: AbortSignal): Promise<void> {
    try {
      const file = await this.#current(content, signal);
      await file.requireAppendable();
      const lines = changes.map((change, index) => `${recordLine(change, this.#records + index + 1)}\n`);
      await file.append(Buffer.from(lines.join('')), signal);
      this.#records += changes.length;
    } catch (error) {
      if (!(await this.#isIntact())) await this.#abandon(error);
      throw error;
    }
  }

  /** Checks without a write that the next append can succeed. @throws Error */
  async requireWritable(): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw this.#failure;
    if (!(await file.isUnchanged())) throw new Error('the manifest was changed by another process');
    await file.requireWritable();
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  get #newPath(): string {
    return `${this.#path}.new`;
  }

  async #abandon(cause: unknown): Promise<void> {
    this.#failure = cause;
    await this.close().catch(() => undefined);
  }

  /** Whether the file has the records that were synced, and nothing else. A rewrite would need more space than a record. */
  async #isIntact(): Promise<boolean> {
    return (await this.#file?.isUnchanged().catch(() => false)) ?? false;
  }

  /** The file that has `content`, and nothing else. */
  async #current(content: ManifestContent, signal: AbortSignal | undefined): Promise<AppendFile> {
    const file = this.#file;
    if (file === undefined || !(await file.isUnchanged())) return this.#rewrite(content, signal);
    if (this.#records <= Math.max(2 * content.size + spareRecords, this.#nextRewrite)) return file;
    try {
      return await this.#rewrite(content, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(await file.isUnchanged())) throw error;
      // The longer file still takes changes. A disk without space for a second file must not refuse them.
      await this.#lock?.hold(file.descriptor);
      this.#nextRewrite = this.#records + spareRecords;
      return file;
    }
  }

  /** Replaces the file atomically: writes a new file, syncs it, renames it, syncs the directory. */
  async #rewrite(content: ManifestContent, signal: AbortSignal | undefined): Promise<AppendFile> {
    try {
      await this.#create(this.#newPath, content);
      signal?.throwIfAborted();
      await this.#fs.rename(this.#newPath, this.#path);
    } catch (error) {
      // It may have taken the last space of the disk.
      await this.#fs.unlink(this.#newPath).catch(() => undefined);
      throw error;
    }
    await syncDirectory(this.#fs, dirname(this.#path));
    await this.close();
    this.#file = await AppendFile.open(this.#path, this.#fs, this.#lock);
    this.#records = content.size;
    this.#nextRewrite = 0;
    signal?.throwIfAborted();
    return this.#file;
  }

  async #create(path: string, content: ManifestContent): Promise<void> {
    await this.#lock?.acquire();
    // Without O_NONBLOCK, a pipe of this name would block the open.
    const flags =
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const descriptor = await this.#fs.open(path, flags, 0o600);
    try {
      // Locked before the rename: no other worker may find it unlocked.
      await this.#lock?.hold(descriptor);
      await this.#fs.fchmod(descriptor, 0o600);
      await this.#writeAll(descriptor, content);
      await this.#fs.fsync(descriptor);
    } finally {
      await this.#fs.close(descriptor);
    }
  }

  async #writeAll(descriptor: number, content: ManifestContent): Promise<void> {
    let lines = [`${headerLine()}\n`];
    let number = 0;
    for (const change of content.changes()) {
      lines.push(`${recordLine(change, ++number)}\n`);
      if (number % chunkRecords !== 0) continue;
      await this.#write(descriptor, lines);
      lines = [];
      await nextTurn();
    }
    await this.#write(descriptor, lines);
  }

  async #write(descriptor: number, lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(lines.join(''));
    for (let written = 0; written < bytes.length; ) written += await this.#fs.write(descriptor, bytes, written);
  }
}
