import { createHash } from 'node:crypto';
import { parseJson } from '../../seal/json.js';
import { entryFromJson, entryToJson, type ManifestEntry } from './manifest_entry.js';
import { fieldsOf } from './manifest_fields.js';
import { leaseFromJson, leaseToJson, type ManifestLease } from './manifest_lease.js';

/** A record of the manifest. */
export type ManifestChange =
  /** The shard's entry from now on. */
  | { readonly kind: 'put'; readonly entry: ManifestEntry }
  /** As `put`, for shards that are sealed together: one record, so that a crash leaves all of them or none. */
  | { readonly kind: 'put_all'; readonly entries: readonly ManifestEntry[] }
  /** The shard is released. */
  | { readonly kind: 'remove'; readonly shardId: string }
  /** A process may have a shard's memory from now on. */
  | { readonly kind: 'grant'; readonly lease: ManifestLease }
  | { readonly kind: 'end'; readonly leaseId: string };

/** What the records of a manifest amount to. */
export class ManifestContent {
  /** By shard id. */
  readonly entries = new Map<string, ManifestEntry>();
  /** By lease id. */
  readonly leases = new Map<string, ManifestLease>();

  constructor(entries: Iterable<ManifestEntry> = []) {
    for (const entry of entries) this.entries.set(entry.shardId, entry);
  }

  get size(): number {
    return this.entries.size + this.leases.size;
  }

  apply(change: ManifestChange): void {
    if (change.kind === 'put') this.entries.set(change.entry.shardId, change.entry);
    else if (change.kind === 'put_all') for (const entry of change.entries) this.entries.set(entry.shardId, entry);
    else if (change.kind === 'remove') this.entries.delete(change.shardId);
    else if (change.kind === 'grant') this.leases.set(change.lease.leaseId, change.lease);
    else this.leases.delete(change.leaseId);
  }

  /** The records of a file with this content and no obsolete record. */
  *changes(): Generator<ManifestChange> {
    for (const entry of this.entries.values()) yield { kind: 'put', entry };
    for (const lease of this.leases.values()) yield { kind: 'grant', lease };
  }
}

/**
 * Version 3 had paths of files in place of references, and no shards that are sealed together. Version 2 had neither memory
 * nor leases. Version 1 was one JSON object.
 */
const version = 4;
const readableVersions: readonly unknown[] = [2, 3, version];

/** The first line of a manifest, without its newline. */
export const headerLine = (): string => withChecksum({ manifest: version });

/** The line of a record, without its newline. `number` counts the records of the file from 1. */
export const recordLine = (change: ManifestChange, number: number): string =>
  withChecksum({ number, ...toJson(change) });

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

/** What a first line says: a manifest of the current version, of an older one, or of a version that this worker cannot read. */
export type Header = 'current' | 'older' | 'unreadable' | 'none';

/** Judges the fields of the first line. */
export function readHeader(fields: ReadonlyMap<string, unknown>): Header {
  if (!fields.has('manifest')) return 'none';
  const found = fields.get('manifest');
  if (!readableVersions.includes(found)) return 'unreadable';
  return found === version ? 'current' : 'older';
}

/** The change of a record. Null if it is invalid, or is not the record with this number. */
export function readRecord(fields: ReadonlyMap<string, unknown>, number: number): ManifestChange | null {
  if (fields.get('number') !== number) return null;
  const [shardId, leaseId] = [fields.get('remove'), fields.get('end')];
  if (typeof shardId === 'string') return { kind: 'remove', shardId };
  if (typeof leaseId === 'string') return { kind: 'end', leaseId };
  if (fields.has('grant')) {
    const lease = leaseFromJson(fields.get('grant'));
    return lease && { kind: 'grant', lease };
  }
  if (fields.has('put_all')) return readPutAll(fields.get('put_all'));
  const entry = entryFromJson(fields.get('put'));
  return entry && { kind: 'put', entry };
}

/** The entries of a manifest of version 1: one JSON object with all shards. Returns the problem if it is invalid. */
export function readVersion1(text: string): ManifestEntry[] | string {
  const fields = fieldsOf(parseJson(text));
  const shards: unknown = fields?.get('shards');
  if (!Array.isArray(shards)) return 'is damaged';
  if (fields?.get('version') !== 1) return 'has an unknown version';
  if (fields.get('sha256') !== sha256(JSON.stringify(shards))) return 'is damaged';
  const entries = shards.map(entryFromJson).filter((entry) => entry !== null);
  return entries.length === shards.length ? entries : 'has an invalid entry';
}

function readPutAll(value: unknown): ManifestChange | null {
  if (!Array.isArray(value)) return null;
  const entries = value.map(entryFromJson).filter((entry) => entry !== null);
  return entries.length === value.length ? { kind: 'put_all', entries } : null;
}

function toJson(change: ManifestChange): object {
  if (change.kind === 'put') return { put: entryToJson(change.entry) };
  if (change.kind === 'put_all') return { put_all: change.entries.map(entryToJson) };
  if (change.kind === 'remove') return { remove: change.shardId };
  return change.kind === 'grant' ? { grant: leaseToJson(change.lease) } : { end: change.leaseId };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
