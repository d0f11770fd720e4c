import { WorkerError } from '../../errors.js';
import type { FileHolder } from '../../storage/file_holder.js';
import { type FileSystem, isFull, nodeFileSystem, realPath } from '../../storage/fs.js';
import { GroupCommit } from '../../storage/group_commit.js';
import { FileInUseError } from '../../vram/file_lock.js';
import type { ManifestEntry } from './manifest_entry.js';
import type { ManifestChange, ManifestContent } from './manifest_file.js';
import { ManifestJournal } from './manifest_journal.js';
import type { ManifestLease } from './manifest_lease.js';
import { ManifestError, readManifest } from './manifest_reader.js';
import type { Seal } from './seal.js';
import type { Shard } from './shard.js';

interface PendingEntry {
  /** Undefined if the shard is removed. */
  readonly entry: ManifestEntry | undefined;
  readonly written: Promise<void>;
}

/** A shard with the seal that is about to take effect. */
export interface SealedShard {
  readonly shard: Shard;
  readonly seal: Seal;
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
 * The list of the worker's shards and of their leases in a file, so that the next process can restore them. Changes that wait
 * at the same time share one sync, off the event loop.
 */
export class Manifest {
  readonly #journal: ManifestJournal;
  readonly #commits: GroupCommit<ManifestChange>;
  /** What is on disk. */
  readonly #content: ManifestContent;
  /** The last change of each shard that is not on disk yet. */
  readonly #pending = new Map<string, PendingEntry>();

  private constructor(journal: ManifestJournal, content: ManifestContent, onChange: ManifestOptions['onChange']) {
    this.#journal = journal;
    this.#content = content;
    this.#commits = new GroupCommit<ManifestChange>({
      write: (changes, signal) => this.#write(changes, signal),
      check: () => journal.requireWritable(),
      unavailable,
      onChange,
    });
  }

  /**
   * Reads the manifest of the previous process. One of an older version, or with many obsolete records, is rewritten. If the file
   * exists, but cannot be written, or if the disk is full, the manifest counts as unwritable until it can be written.
   * @throws ManifestError, FileInUseError
   */
  static async open({ path, lock, onChange, fs = nodeFileSystem }: ManifestOptions): Promise<Manifest> {
    const { content, journal: found, exists } = await readManifest(path);
    // A rewrite replaces the file itself, not a symbolic link to it.
    const journal = new ManifestJournal({ path: await realPath(fs, path), lock, fs });
    try {
      if (found !== undefined) await journal.adopt(found);
      await journal.append([], content);
    } catch (cause) {
      if (cause instanceof FileInUseError) throw cause;
      if (!exists && !isFull(cause)) throw new ManifestError(`WORKER_MANIFEST: ${path} cannot be written`, { cause });
    }
    const manifest = new Manifest(journal, content, onChange);
    await manifest.tick();
    return manifest;
  }

  /** The entries on disk. */
  entries(): ManifestEntry[] {
    return [...this.#content.entries.values()];
  }

  /** The leases on disk. */
  leases(): ManifestLease[] {
    return [...this.#content.leases.values()];
  }

  /** The shard's entry after the changes that wait. */
  get(shardId: string): ManifestEntry | undefined {
    const waiting = this.#pending.get(shardId);
    return waiting === undefined ? this.#content.entries.get(shardId) : waiting.entry;
  }

  get isWritable(): boolean {
    return this.#commits.isWritable;
  }

  /** Adds or updates a sealed shard. Resolves when that is on disk. @throws WorkerError AUDIT_UNAVAILABLE; then it is not */
  put(shard: Shard, seal: Seal): Promise<void> {
    const entry = entryOf(shard, seal);
    return this.#change({ kind: 'put', entry }, { shardId: entry.shardId, entry });
  }

  /** As `put`, for shards that are sealed together: after a crash, the file lists all of them or none. */
  putAll(sealed: readonly SealedShard[]): Promise<void> {
    const [first] = sealed;
    if (first === undefined) return Promise.resolve();
    if (sealed.length === 1) return this.put(first.shard, first.seal);
    const entries = sealed.map(({ shard, seal }) => entryOf(shard, seal));
    const written = this.#commits.append({ kind: 'put_all', entries });
    for (const entry of entries) this.#await(written, { shardId: entry.shardId, entry });
    return written;
  }

  /** Removes a shard, if it is listed. Resolves and throws as `put` does. */
  remove(shardId: string): Promise<void> {
    return this.#change({ kind: 'remove', shardId }, { shardId, entry: undefined });
  }

  /** Adds or updates a lease. Resolves and throws as `put` does. */
  grant(lease: ManifestLease): Promise<void> {
    return this.#commits.append({ kind: 'grant', lease });
  }

  /** Removes a lease, now or when the file can be written again. */
  end(leaseId: string): void {
    void this.#commits.appendBestEffort({ kind: 'end', leaseId });
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

  #change(change: ManifestChange, { shardId, entry }: Named): Promise<void> {
    if (isSame(this.get(shardId), entry)) return this.#pending.get(shardId)?.written ?? Promise.resolve();
    const written = this.#commits.append(change);
    this.#await(written, { shardId, entry });
    return written;
  }

  /** Remembers a change until it is on disk, or is not and never will be. */
  #await(written: Promise<void>, { shardId, entry }: Named): void {
    const pending = { entry, written };
    this.#pending.set(shardId, pending);
    const settle = () => {
      if (this.#pending.get(shardId) === pending) this.#pending.delete(shardId);
    };
    written.then(settle, settle);
  }

  async #write(changes: readonly ManifestChange[], signal: AbortSignal): Promise<number> {
    await this.#journal.append(changes, this.#content, signal);
    for (const change of changes) this.#content.apply(change);
    return changes.length;
  }
}

interface Named {
  readonly shardId: string;
  readonly entry: ManifestEntry | undefined;
}

/** One literal, so that all entries share a hidden class of V8. A spread gives each its own. */
function entryOf(shard: Shard, { digest, treeDigest, expected, expectedBy, jti, exportedAtMs }: Seal): ManifestEntry {
  const { shardId, modelRef, shardIndex, totalShards } = shard.identity;
  const { layout } = shard;
  const { gpuDevice, uuid: gpuUuid } = shard.memory;
  return {
    shardId,
    modelRef,
    shardIndex,
    totalShards,
    gpuDevice,
    vramBytes: shard.vramBytes,
    source: shard.source ?? null,
    digest,
    treeDigest,
    expected,
    expectedBy,
    exportable: shard.exportable,
    memory:
      layout === undefined
        ? null
        : {
            allocationId: shard.allocationId,
            gpuUuid,
            mappedBytes: layout.mappedBytes,
            partBytes: layout.partBytes,
            exportedAtMs,
            jti,
          },
  };
}

const isSame = (a: ManifestEntry | undefined, b: ManifestEntry | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

const unavailable = (cause: unknown): WorkerError =>
  new WorkerError('AUDIT_UNAVAILABLE', 'The manifest cannot be written', { cause, retryAfterMs: 1000 });
