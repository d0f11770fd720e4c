import { WorkerError } from '../../errors.js';
import { type FileSystem, nodeFileSystem, realPath } from '../../storage/fs.js';
import { GroupCommit } from '../../storage/group_commit.js';
import type { ManifestChange, ManifestEntry } from './manifest_file.js';
import { ManifestJournal } from './manifest_journal.js';
import { ManifestError, readManifest } from './manifest_reader.js';
import type { Seal, Shard } from './shard.js';

/** A change of the list that is being written. */
export interface ListChange {
  /** Resolves when the change is on disk. Rejects with AUDIT_UNAVAILABLE; then the file is unchanged. */
  readonly written: Promise<void>;
  /**
   * Restores the previous entry, unless the shard's entry has changed since. Resolves when that is on disk, or waits for the
   * end of an outage. Never rejects.
   */
  readonly undo: () => Promise<void>;
}

interface PendingChange {
  readonly change: ManifestChange;
  readonly written: Promise<void>;
}

/** The result if there is nothing to change. */
export const noChange: ListChange = { written: Promise.resolve(), undo: async () => undefined };

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
    onChange: (cause: unknown) => void,
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

  /** Reads the manifest of the previous process, and writes it in the current format. @throws ManifestError */
  static async open(
    path: string,
    onChange: (cause: unknown) => void,
    fs: FileSystem = nodeFileSystem,
  ): Promise<Manifest> {
    const entries = await readManifest(path);
    // A rewrite replaces the file itself, not a symbolic link to it.
    const journal = new ManifestJournal(await realPath(fs, path), fs);
    try {
      await journal.append([], entries);
    } catch (cause) {
      throw new ManifestError(`WORKER_MANIFEST: ${path} cannot be written`, { cause });
    }
    return new Manifest(journal, entries, onChange);
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

  /** Adds or updates a sealed shard. */
  put({ identity, memory, vramBytes, source }: Shard, { digest, treeDigest, expected }: Seal): ListChange {
    const { shardId, modelRef, shardIndex, totalShards } = identity;
    const path = source?.path ?? null;
    const name = { shardId, modelRef, shardIndex, totalShards };
    const entry = { ...name, gpuDevice: memory.gpuDevice, vramBytes, path, digest, treeDigest, expected };
    return this.#change(shardId, entry);
  }

  /** Removes a shard, if it is listed. */
  remove(shardId: string): ListChange {
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

  #change(shardId: string, entry: ManifestEntry | undefined): ListChange {
    const waiting = this.#pending.get(shardId);
    const previous = this.get(shardId);
    if (isSame(previous, entry)) return waiting === undefined ? noChange : { ...noChange, written: waiting.written };
    const change = { shardId, entry };
    const written = this.#commits.append(change);
    this.#pending.set(shardId, { change, written });
    written.catch(() => this.#settle(change));
    const undo = async () => {
      if (this.get(shardId) !== entry) return;
      const restored = { shardId, entry: previous };
      const written = this.#commits.appendBestEffort(restored);
      this.#pending.set(shardId, { change: restored, written });
      await written;
    };
    return { written, undo };
  }

  async #write(changes: readonly ManifestChange[], signal: AbortSignal): Promise<number> {
    const previous = changes.map(({ shardId }) => ({ shardId, entry: this.#entries.get(shardId) }));
    for (const change of changes) this.#apply(change);
    try {
      await this.#journal.append(changes, this.#entries, signal);
    } catch (error) {
      for (const change of previous.reverse()) this.#apply(change);
      throw error;
    }
    for (const change of changes) this.#settle(change);
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
