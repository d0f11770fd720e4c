import { createHash } from 'node:crypto';
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
  /** Entries of workers that could not share memory do not have it, and count as exportable. */
  readonly exportable: boolean;
}

/** A record of the manifest: the shard's entry from now on; undefined once it is released. */
export interface ManifestChange {
  readonly shardId: string;
  readonly entry: ManifestEntry | undefined;
}

const version = 2;

/** The first line of a manifest, without its newline. */
export const headerLine = (): string => withChecksum({ manifest: version });

/** The line of a record, without its newline. `number` counts the records of the file from 1. */
export const recordLine = ({ shardId, entry }: ManifestChange, number: number): string =>
  withChecksum(entry === undefined ? { number, remove: shardId } : { number, put: toJson(entry) });

/** Detects a torn write or a flipped bit. Against an attacker who can write the file, only the digests of shards help. */
function withChecksum(record: object): string {
  const body = JSON.stringify(record).slice(0, -1);
  return `${body},"sha256":"${sha256(body)}"}`;
}

const linePattern = /^(\{.*),"sha256":"([0-9a-f]{64})"\}$/s;

/** The fields of a line. Null if the line is torn or damaged. */
export function readLine(line: string): ReadonlyMap<string, unknown> | null {
  const [, body = '', checksum] = linePattern.exec(line) ?? [];
  if (checksum === undefined || checksum !== sha256(body)) return null;
  return fieldsOf(parseJson(`${body}}`));
}

/** Whether the fields are those of the first line. Null if it has an unknown version. */
export function isHeader(fields: ReadonlyMap<string, unknown>): boolean | null {
  if (!fields.has('manifest')) return false;
  return fields.get('manifest') === version ? true : null;
}

/** The change of a record. Null if it is invalid, or is not the record with this number. */
export function readRecord(fields: ReadonlyMap<string, unknown>, number: number): ManifestChange | null {
  if (fields.get('number') !== number) return null;
  const shardId = fields.get('remove');
  if (typeof shardId === 'string') return { shardId, entry: undefined };
  const entry = fromJson(fields.get('put'));
  return entry && { shardId: entry.shardId, entry };
}

/** The entries of a manifest of version 1: one JSON object with all shards. Returns the problem if it is invalid. */
export function readVersion1(text: string): ManifestEntry[] | string {
  const fields = fieldsOf(parseJson(text));
  const shards: unknown = fields?.get('shards');
  if (!Array.isArray(shards)) return 'is damaged';
  if (fields?.get('version') !== 1) return 'has an unknown version';
  if (fields.get('sha256') !== sha256(JSON.stringify(shards))) return 'is damaged';
  const entries = shards.map(fromJson).filter((entry) => entry !== null);
  return entries.length === shards.length ? entries : 'has an invalid entry';
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const fieldsOf = (value: unknown): ReadonlyMap<string, unknown> | null =>
  typeof value === 'object' && value !== null ? new Map<string, unknown>(Object.entries(value)) : null;

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
  exportable: entry.exportable,
});

/** The entry that a JSON value describes, or null if it is invalid. */
function fromJson(value: unknown): ManifestEntry | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const [shardId, modelRef, path] = [fields.get('shard_id'), fields.get('model_ref'), fields.get('path')];
  const numbers = ['shard_index', 'total_shards', 'gpu_device', 'vram_bytes'].map((name) => Number(fields.get(name)));
  const [shardIndex = -1, totalShards = -1, gpuDevice = -1, vramBytes = -1] = numbers;
  const [digest, treeDigest] = [fields.get('digest'), fields.get('tree_digest')];
  const expected = expectations.find((word) => word === fields.get('expected'));
  if (typeof shardId !== 'string' || typeof modelRef !== 'string' || expected === undefined) return null;
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) return null;
  if (path !== null && typeof path !== 'string') return null;
  if ((digest !== null && !isDigest(digest)) || !isDigest(treeDigest)) return null;
  const exportable = fields.get('exportable') !== false;
  const numbered = { shardIndex, totalShards, gpuDevice, vramBytes };
  return { shardId, modelRef, ...numbered, path, digest, treeDigest, expected, exportable };
}
