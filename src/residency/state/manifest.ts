import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { WorkerError } from '../../errors.js';
import { type Digest, isDigest } from '../../seal/digest.js';
import { type Expectation, expectations } from '../../seal/handle.js';
import type { Seal, Shard } from './shard.js';
import type { ShardIdentity } from './snapshot.js';

/** A shard as a later process can have it again. */
export interface ManifestEntry extends ShardIdentity {
  readonly gpuDevice: number;
  readonly vramBytes: number;
  /** Relative to the model directory; null for an upload, whose bytes end with the process. */
  readonly path: string | null;
  readonly digest: Digest | null;
  readonly treeDigest: Digest;
  readonly expected: Expectation;
}

/** The manifest is not what a worker wrote. Nothing is guessed from it: the message says what to do. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

const version = 1;

/**
 * The list of shards that are here, in a file, so that the next process knows what was. A change is on the disk, whole,
 * before it returns: written aside, synced, renamed, and the directory synced.
 */
export class Manifest {
  readonly #path: string;
  #entries: ReadonlyMap<string, ManifestEntry>;
  #writable = true;

  /** Reads what an earlier process has left; a file that is not there is made. @throws ManifestError */
  constructor(path: string) {
    this.#path = path;
    this.#entries = new Map(read(path).map((entry) => [entry.shardId, entry]));
    try {
      this.#write(this.#entries);
    } catch (cause) {
      throw new ManifestError(`WORKER_MANIFEST: ${path} cannot be written`, { cause });
    }
  }

  entries(): ManifestEntry[] {
    return [...this.#entries.values()];
  }

  /** Adds a sealed shard, or changes it. @throws WorkerError AUDIT_UNAVAILABLE; then the file is as it was */
  put({ identity, memory, vramBytes, source }: Shard, { digest, treeDigest, expected }: Seal): void {
    const { shardId, modelRef, shardIndex, totalShards } = identity;
    const { gpuDevice } = memory;
    const path = source?.path ?? null;
    const name = { shardId, modelRef, shardIndex, totalShards };
    const entry = { ...name, gpuDevice, vramBytes, path, digest, treeDigest, expected };
    if (JSON.stringify(this.#entries.get(shardId)) === JSON.stringify(entry)) return;
    this.#replace(new Map(this.#entries).set(shardId, entry));
  }

  /** Takes a shard out, and returns what there was of it. @throws like `put` */
  remove(shardId: string): ManifestEntry | undefined {
    const entry = this.#entries.get(shardId);
    if (entry === undefined) return undefined;
    const entries = new Map(this.#entries);
    entries.delete(shardId);
    this.#replace(entries);
    return entry;
  }

  /** Undoes `remove`. Where that can't be written now, `probe` writes it later. */
  putBack(entry: ManifestEntry): void {
    this.#entries = new Map(this.#entries).set(entry.shardId, entry);
    this.#writable = false;
    this.probe();
  }

  /** Whether it can be written; tries, after a failure. */
  probe(): boolean {
    if (this.#writable) return true;
    try {
      this.#replace(this.#entries);
    } catch {
      // What `#writable` says then.
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
      throw new WorkerError('AUDIT_UNAVAILABLE', 'the manifest cannot be written', { cause, retryAfterMs: 1000 });
    }
  }

  #write(entries: ReadonlyMap<string, ManifestEntry>): void {
    const shards = [...entries.values()].map(outside);
    const text = `${JSON.stringify({ version, sha256: checksum(shards), shards }, null, 2)}\n`;
    const aside = `${this.#path}.new`;
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    synced(aside, flags, (file) => {
      fchmodSync(file, 0o600);
      const bytes = Buffer.from(text);
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    });
    renameSync(aside, this.#path);
    synced(dirname(this.#path), constants.O_RDONLY | constants.O_DIRECTORY, () => undefined);
  }
}

function synced(path: string, flags: number, work: (file: number) => void): void {
  const file = openSync(path, flags, 0o600);
  try {
    work(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function read(path: string): ManifestEntry[] {
  const refuse = (what: string): never => {
    throw new ManifestError(
      `WORKER_MANIFEST: ${path} ${what}. It says which shards were here: look into it, or move it away to start without.`,
    );
  };
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (!stat.isFile()) return refuse('is no file');
  if ((stat.mode & 0o022) !== 0) return refuse('can be written by others');
  const parsed = parse(readFileSync(path, 'utf8'));
  if (parsed === null || !Array.isArray(parsed.shards)) return refuse('is damaged');
  if (parsed.version !== version) return refuse('is of another version');
  if (parsed.sha256 !== checksum(parsed.shards)) return refuse('is damaged');
  const entries = parsed.shards.map(inside).filter((entry) => entry !== null);
  return entries.length === parsed.shards.length ? entries : refuse('has an entry that is none');
}

/** Guards against a torn or flipped file; against somebody who may write it only the digests of the shards do. */
const checksum = (shards: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(shards)).digest('hex');

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

const outside = (entry: ManifestEntry) => ({
  shard_id: entry.shardId,
  model_ref: entry.modelRef,
  shard_index: entry.shardIndex,
  total_shards: entry.totalShards,
  gpu_device: entry.gpuDevice,
  vram_bytes: entry.vramBytes,
  path: entry.path,
  digest: entry.digest,
  tree_digest: entry.treeDigest,
  expected: entry.expected,
});

/** The entry that a value of the file is, or null. */
function inside(value: unknown): ManifestEntry | null {
  if (typeof value !== 'object' || value === null) return null;
  const fields = new Map<string, unknown>(Object.entries(value));
  const text = (name: string) => fields.get(name);
  const [shardId, modelRef, path] = [text('shard_id'), text('model_ref'), text('path')];
  const numbers = ['shard_index', 'total_shards', 'gpu_device', 'vram_bytes'].map((name) => Number(fields.get(name)));
  const [shardIndex = -1, totalShards = -1, gpuDevice = -1, vramBytes = -1] = numbers;
  const [digest, treeDigest] = [fields.get('digest'), fields.get('tree_digest')];
  const expected = expectations.find((word) => word === fields.get('expected'));
  if (typeof shardId !== 'string' || typeof modelRef !== 'string' || expected === undefined) return null;
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) return null;
  if (path !== null && typeof path !== 'string') return null;
  if ((digest !== null && !isDigest(digest)) || !isDigest(treeDigest)) return null;
  return { shardId, modelRef, shardIndex, totalShards, gpuDevice, vramBytes, path, digest, treeDigest, expected };
}
