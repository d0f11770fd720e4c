import { closeSync, constants, fchmodSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { WorkerError } from '../../errors.js';
import { type ManifestEntry, ManifestError, readManifest, serializeManifest } from './manifest_file.js';
import type { Seal, Shard } from './shard.js';

export { type ManifestEntry, ManifestError };

/** A change of the manifest. */
export interface ManifestChange {
  /** Resolves when the change is on disk. Rejects with AUDIT_UNAVAILABLE; then the file is unchanged. */
  readonly written: Promise<void>;
  /** Restores the previous entry, now or after an outage, unless the shard's entry has changed since. */
  readonly undo: () => void;
}

const unchanged: ManifestChange = { written: Promise.resolve(), undo: () => undefined };

/**
 * The list of the worker's shards in a file, so that the next process can restore them. Each change replaces the file
 * atomically and is on the disk before the call returns: write a new file, fsync, rename, fsync the directory.
 */
export class Manifest {
  readonly #path: string;
  #entries: ReadonlyMap<string, ManifestEntry>;
  #writable = true;

  /** Reads the manifest of the previous process, and creates the file if it does not exist. @throws ManifestError */
  constructor(path: string) {
    this.#path = path;
    this.#entries = new Map(readManifest(path).map((entry) => [entry.shardId, entry]));
    try {
      this.#write(this.#entries);
    } catch (cause) {
      throw new ManifestError(`WORKER_MANIFEST: ${path} cannot be written`, { cause });
    }
  }

  entries(): ManifestEntry[] {
    return [...this.#entries.values()];
  }

  /** Adds or updates a sealed shard. */
  put({ identity, memory, vramBytes, source }: Shard, { digest, treeDigest, expected }: Seal): ManifestChange {
    const { shardId, modelRef, shardIndex, totalShards } = identity;
    const { gpuDevice } = memory;
    const path = source?.path ?? null;
    const name = { shardId, modelRef, shardIndex, totalShards };
    const entry = { ...name, gpuDevice, vramBytes, path, digest, treeDigest, expected };
    if (JSON.stringify(this.#entries.get(shardId)) === JSON.stringify(entry)) return unchanged;
    return this.#change(shardId, entry);
  }

  /** Removes a shard, if it is listed. */
  remove(shardId: string): ManifestChange {
    return this.#entries.has(shardId) ? this.#change(shardId, undefined) : unchanged;
  }

  #change(shardId: string, entry: ManifestEntry | undefined): ManifestChange {
    const previous = this.#entries.get(shardId);
    const set = (value: ManifestEntry | undefined) => {
      const entries = new Map(this.#entries);
      if (value === undefined) entries.delete(shardId);
      else entries.set(shardId, value);
      return entries;
    };
    try {
      this.#replace(set(entry));
    } catch (error) {
      return { written: Promise.reject(error), undo: () => undefined };
    }
    const undo = () => {
      if (this.#entries.get(shardId) !== entry) return;
      this.#entries = set(previous);
      this.#writable = false;
      this.tryRecover();
    };
    return { written: Promise.resolve(), undo };
  }

  /** Whether the file can be written. After a failure this tries to write it again. */
  tryRecover(): boolean {
    if (this.#writable) return true;
    try {
      this.#replace(this.#entries);
    } catch {
      // `#writable` says so.
    }
    return this.#writable;
  }

  #replace(entries: ReadonlyMap<string, ManifestEntry>): void {
    try {
      this.#write(entries);
      this.#entries = entries;
      this.#writable = true;
    } catch (cause) {
      this.#writable = false;
      throw new WorkerError('AUDIT_UNAVAILABLE', 'The manifest cannot be written', { cause, retryAfterMs: 1000 });
    }
  }

  #write(entries: ReadonlyMap<string, ManifestEntry>): void {
    const newPath = `${this.#path}.new`;
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    withSyncedFile(newPath, flags, (file) => {
      fchmodSync(file, 0o600);
      const bytes = Buffer.from(serializeManifest([...entries.values()]));
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    });
    renameSync(newPath, this.#path);
    withSyncedFile(dirname(this.#path), constants.O_RDONLY | constants.O_DIRECTORY, () => undefined);
  }
}

/** Opens a file, calls `work`, and closes the file after an fsync. */
function withSyncedFile(path: string, flags: number, work: (file: number) => void): void {
  const file = openSync(path, flags, 0o600);
  try {
    work(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
