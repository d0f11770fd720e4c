import { closeSync, constants, fchmodSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { WorkerError } from '../../errors.js';
import { type ManifestEntry, ManifestError, readManifest, serializeManifest } from './manifest_file.js';
import type { Seal, Shard } from './shard.js';

export { type ManifestEntry, ManifestError };

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

  /** Adds or updates a sealed shard. @throws WorkerError AUDIT_UNAVAILABLE, and then the file is unchanged */
  put({ identity, memory, vramBytes, source }: Shard, { digest, treeDigest, expected }: Seal): void {
    const { shardId, modelRef, shardIndex, totalShards } = identity;
    const { gpuDevice } = memory;
    const path = source?.path ?? null;
    const name = { shardId, modelRef, shardIndex, totalShards };
    const entry = { ...name, gpuDevice, vramBytes, path, digest, treeDigest, expected };
    if (JSON.stringify(this.#entries.get(shardId)) === JSON.stringify(entry)) return;
    this.#replace(new Map(this.#entries).set(shardId, entry));
  }

  /** Removes a shard and returns its entry. @throws WorkerError AUDIT_UNAVAILABLE, and then the file is unchanged */
  remove(shardId: string): ManifestEntry | undefined {
    const entry = this.#entries.get(shardId);
    if (entry === undefined) return undefined;
    const entries = new Map(this.#entries);
    entries.delete(shardId);
    this.#replace(entries);
    return entry;
  }

  /** Undoes `remove`. If the file cannot be written now, `tryRecover` writes it later. */
  putBack(entry: ManifestEntry): void {
    this.#entries = new Map(this.#entries).set(entry.shardId, entry);
    this.#writable = false;
    this.tryRecover();
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
