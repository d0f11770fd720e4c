import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type Digest, isDigest } from '../../seal/digest.js';
import { type Expectation, expectations } from '../../seal/handle.js';
import { parseJson } from '../../seal/json.js';
import type { ShardIdentity } from './snapshot.js';

/** The data that a later process needs to restore a shard. */
export interface ManifestEntry extends ShardIdentity {
  readonly gpuDevice: number;
  readonly vramBytes: number;
  /** Relative to the model directory; null for an upload, which cannot be restored. */
  readonly path: string | null;
  readonly digest: Digest | null;
  readonly treeDigest: Digest;
  readonly expected: Expectation;
}

/** The manifest is invalid. The worker refuses to start; the message gives the fix. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

const version = 1;

/** The text of a manifest. */
export function serializeManifest(entries: readonly ManifestEntry[]): string {
  const shards = entries.map(toJson);
  return `${JSON.stringify({ version, sha256: checksum(shards), shards }, null, 2)}\n`;
}

/** Reads the entries of a manifest. A file that does not exist has none. @throws ManifestError */
export function readManifest(path: string): ManifestEntry[] {
  const refuse = (problem: string): never => {
    throw new ManifestError(
      `WORKER_MANIFEST: ${path} ${problem}. It lists the shards to restore: inspect it, or move it away to start without.`,
    );
  };
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (!stat.isFile()) return refuse('is not a regular file');
  if ((stat.mode & 0o022) !== 0) return refuse('is writable by other users');
  const parsed = parse(readFileSync(path, 'utf8'));
  if (parsed === null || !Array.isArray(parsed.shards)) return refuse('is damaged');
  if (parsed.version !== version) return refuse('has an unknown version');
  if (parsed.sha256 !== checksum(parsed.shards)) return refuse('is damaged');
  const entries = parsed.shards.map(fromJson).filter((entry) => entry !== null);
  return entries.length === parsed.shards.length ? entries : refuse('has an invalid entry');
}

/** Detects a torn write or a flipped bit. Against an attacker who can write the file, only the digests of shards help. */
const checksum = (shards: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(shards)).digest('hex');

function parse(text: string): Record<string, unknown> | null {
  const value = parseJson(text);
  return typeof value === 'object' && value !== null ? { ...value } : null;
}

const toJson = (entry: ManifestEntry) => ({
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

/** The entry that a JSON value describes, or null if it is invalid. */
function fromJson(value: unknown): ManifestEntry | null {
  if (typeof value !== 'object' || value === null) return null;
  const fields = new Map<string, unknown>(Object.entries(value));
  const [shardId, modelRef, path] = [fields.get('shard_id'), fields.get('model_ref'), fields.get('path')];
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
