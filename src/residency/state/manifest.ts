import { WorkerError } from '../../errors.js';
import type { FileHolder } from '../../storage/file_holder.js';
import { type FileSystem, isFull, nodeFileSystem, realPath } from '../../storage/fs.js';
import { GroupCommit } from '../../storage/group_commit.js';
import { FileInUseError } from '../../vram/file_lock.js';
import type { ManifestChange, ManifestEntry } from './manifest_file.js';
import { ManifestJournal } from './manifest_journal.js';
import { ManifestError, readManifest } from './manifest_reader.js';
import type { Seal } from './seal.js';
import type { Shard } from './shard.js';

interface PendingChange {
  readonly change: ManifestChange;
  readonly written: Promise<void>;
}

export interface ManifestOptions {
  readonly path: string;
  /** The lock on the file. Without it, other workers can use the file too. */
  readonly lock?: FileHolder | undefined;
  /** Called when `isWritable` changes: with the cause when it turns false, with undefined when it turns true. */
  readonly onChange: (cause: unknown) => void;
  readonly fs?: FileSystem | undefined;
}

/**
 * The list of the worker's shards in a file, so that the next process can restore them. Changes that wait at the same time
 * share one sync, off the event loop.
 */
export class Manifest {
  readonly #journal: ManifestJournal;
  readonly #commits: GroupCommit<ManifestChange>;
  /** The entries on disk. */
  readonly #entries: Map<string, ManifestEntry>;
  /** The last change of each shard that is not on disk yet. */
  readonly #pending = new Map<string, PendingChange>();

  private constructor(
    journal: ManifestJournal,
    entries: Map<string, ManifestEntry>,
    onChange: ManifestOptions['onChange'],
  ) {
    this.#journal = journal;
    this.#entries = entries;
    this.#commits = new GroupCommit<ManifestChange>({
      write: (changes, signal) => this.#write(changes, signal),
      check: () => journal.requireWritable(),
      unavailable,
      onChange,
    });
  }

  /**
   * Reads the manifest of the previous process. One of version 1, or with many obsolete records, is rewritten. If the file
   * exists, but cannot be written, or if the disk is full, the manifest counts as unwritable until it can be written.
   * @throws ManifestError, FileInUseError
   */
  static async open({ path, lock, onChange, fs = nodeFileSystem }: ManifestOptions): Promise<Manifest> {
    const { entries, journal: found, exists } = await readManifest(path);
    // A rewrite replaces the file itself, not a symbolic link to it.
    const journal = new ManifestJournal({ path: await realPath(fs, path), lock, fs });
    try {
      if (found !== undefined) await journal.adopt(found);
      await journal.append([], entries);
    } catch (cause) {
      if (cause instanceof FileInUseError) throw cause;
      if (!exists && !isFull(cause)) throw new ManifestError(`WORKER_MANIFEST: ${path} cannot be written`, { cause });
    }
    const manifest = new Manifest(journal, entries, onChange);
    await manifest.tick();
    return manifest;
  }

  /** The entries on disk. */
  entries(): ManifestEntry[] {
    return [...this.#entries.values()];
  }

  /** The shard's entry after the changes that wait. */
  get(shardId: string): ManifestEntry | undefined {
    const waiting = this.#pending.get(shardId);
    return waiting === undefined ? this.#entries.get(shardId) : waiting.change.entry;
  }

  get isWritable(): boolean {
    return this.#commits.isWritable;
  }

  /** Adds or updates a sealed shard. Resolves when that is on disk. @throws WorkerError AUDIT_UNAVAILABLE; then it is not */
  put(
    { identity, memory, vramBytes, source, exportable }: Shard,
    { digest, treeDigest, expected }: Seal,
  ): Promise<void> {
    const { shardId, modelRef, shardIndex, totalShards } = identity;
    const path = source?.path ?? null;
    const name = { shardId, modelRef, shardIndex, totalShards };
    const entry = { ...name, gpuDevice: memory.gpuDevice, vramBytes, path, digest, treeDigest, expected, exportable };
    return this.#change(shardId, entry);
  }

  /** Removes a shard, if it is listed. Resolves and throws as `put` does. */
  remove(shardId: string): Promise<void> {
    return this.#change(shardId, undefined);
  }

  /** Checks the file, or tries to write it again after a failure. Called every second. Never rejects. */
  async tick(): Promise<void> {
    await this.#commits.tick();
  }

  /** After a failure, tries to write the file again. Never rejects. */
  async recover(): Promise<boolean> {
    return this.#commits.recover();
  }

  /** Writes the changes that wait, and closes the file. Never rejects. */
  async close(): Promise<void> {
    await this.#commits.close(() => this.#journal.close());
  }

  #change(shardId: string, entry: ManifestEntry | undefined): Promise<void> {
    const waiting = this.#pending.get(shardId);
    if (isSame(this.get(shardId), entry)) return waiting?.written ?? Promise.resolve();
    const change = { shardId, entry };
    const written = this.#commits.append(change);
    this.#pending.set(shardId, { change, written });
    written.catch(() => this.#settle(change));
    return written;
  }

  async #write(changes: readonly ManifestChange[], signal: AbortSignal): Promise<number> {
    await this.#journal.append(changes, this.#entries, signal);
    for (const change of changes) {
      this.#apply(change);
      this.#settle(change);
    }
    return changes.length;
  }

  #settle(change: ManifestChange): void {
    if (this.#pending.get(change.shardId)?.change === change) this.#pending.delete(change.shardId);
  }

  #apply({ shardId, entry }: ManifestChange): void {
    if (entry === undefined) this.#entries.delete(shardId);
    else this.#entries.set(shardId, entry);
  }
}

const isSame = (a: ManifestEntry | undefined, b: ManifestEntry | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

const unavailable = (cause: unknown): WorkerError =>
  new WorkerError('AUDIT_UNAVAILABLE', 'The manifest cannot be written', { cause, retryAfterMs: 1000 });
