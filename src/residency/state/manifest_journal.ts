import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AppendFile } from '../../storage/append_file.js';
import { type FileSystem, syncDirectory } from '../../storage/fs.js';
import { headerLine, type ManifestChange, type ManifestEntry, recordLine } from './manifest_file.js';

/** Records beyond twice the number of entries after which the file is rewritten. */
const spareRecords = 1000;

/** Records that are formatted in one turn of the event loop. */
const chunkRecords = 500;

/** The file of the manifest: a header, then a record per change. One call at a time. */
export class ManifestJournal {
  readonly #path: string;
  readonly #fs: FileSystem;
  /** Undefined before the first rewrite, and after a failure: what the file then contains is not known. */
  #file: AppendFile | undefined;
  #records = 0;

  constructor(path: string, fs: FileSystem) {
    this.#path = path;
    this.#fs = fs;
  }

  /**
   * Appends changes, or rewrites the file with all `entries` after a failure, after a change by another process, or if most
   * records are obsolete. Resolves when they are synced. If `signal` aborts before that, they are removed.
   * @throws the signal's reason, or the file system's errors; then the changes are not in the file
   */
  async append(
    changes: readonly ManifestChange[],
    entries: ReadonlyMap<string, ManifestEntry>,
    signal?: AbortSignal,
  ): Promise<void> {
    const file = this.#file;
    try {
      const isObsolete = this.#records + changes.length > 2 * entries.size + spareRecords;
      if (file === undefined || isObsolete || !(await file.isUnchanged())) return await this.#rewrite(entries, signal);
      await file.requireWritable();
      const lines = changes.map((change, index) => `${recordLine(change, this.#records + index + 1)}\n`);
      await file.append(Buffer.from(lines.join('')), signal);
      this.#records += changes.length;
    } catch (error) {
      await this.close().catch(() => undefined);
      throw error;
    }
  }

  /** Checks without a write that the next append can succeed. @throws Error */
  async requireWritable(): Promise<void> {
    if ((await this.#file?.isUnchanged()) !== true) throw new Error('the manifest was changed by another process');
    await this.#file?.requireWritable();
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Replaces the file atomically: writes a new file, syncs it, renames it, syncs the directory. */
  async #rewrite(entries: ReadonlyMap<string, ManifestEntry>, signal: AbortSignal | undefined): Promise<void> {
    await this.close();
    const newPath = `${this.#path}.new`;
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    const descriptor = await this.#fs.open(newPath, flags, 0o600);
    try {
      await this.#fs.fchmod(descriptor, 0o600);
      await this.#writeAll(descriptor, entries);
      await this.#fs.fsync(descriptor);
    } finally {
      await this.#fs.close(descriptor);
    }
    signal?.throwIfAborted();
    await this.#fs.rename(newPath, this.#path);
    await syncDirectory(this.#fs, dirname(this.#path));
    this.#file = await AppendFile.open(this.#path, this.#fs);
    this.#records = entries.size;
    signal?.throwIfAborted();
  }

  async #writeAll(descriptor: number, entries: ReadonlyMap<string, ManifestEntry>): Promise<void> {
    let lines = [`${headerLine()}\n`];
    let number = 0;
    for (const [shardId, entry] of entries) {
      lines.push(`${recordLine({ shardId, entry }, ++number)}\n`);
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
