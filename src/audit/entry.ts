import { createHash } from 'node:crypto';
import { parseJson } from '../seal/json.js';
import type { Actor } from './actor.js';
import type { AuditEvent, AuditFields, AuditSeverity } from './event.js';

/** A position in the chain: an entry's number, and the SHA-256 of its line without the newline, in hex. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** The position before the first entry. */
export const genesis: ChainHead = { seq: 0, hash: '0'.repeat(64) };

/** The content of an entry, before it has a place in the chain. */
export interface AuditRecord {
  /** RFC 3339, UTC, with milliseconds. */
  readonly time: string;
  readonly event: AuditEvent;
  readonly severity: AuditSeverity;
  readonly actor: Actor;
  readonly fields: AuditFields;
}

/** An entry as parsed from its line. `seq` and `hash` are its own position. */
export interface Entry extends ChainHead {
  /** The hash of the previous line. */
  readonly previous: string;
  readonly event: string;
  /** All members of the JSON object. */
  readonly fields: AuditFields;
}

/** The longest line, with its newline. */
export const maxLineBytes = 64 * 1024;

/** The first bytes of every line. */
export const lineStart = Buffer.from('{"seq":');

const checksumPattern = /,"checksum":"([0-9a-f]{64})"\}$/;

/** Bytes that `checksumPattern` matches. */
const checksumBytes = 79;

/**
 * Formats the line that follows `previous`, without its newline. It is a JSON object that starts with the common
 * fields. It ends with `previous`, the hash of the line before, and `checksum`, the SHA-256 of all bytes before
 * `,"checksum"`.
 */
export function formatEntry({ time, event, severity, actor, fields }: AuditRecord, previous: ChainHead): Buffer {
  const { shard_id = null, digest = null, tree_digest = null, ...more } = fields;
  const common = { seq: previous.seq + 1, time, event, severity, actor: actor.name, request_id: actor.requestId };
  const entry = { ...common, shard_id, digest, tree_digest, ...more, previous: previous.hash };
  const body = JSON.stringify(entry).slice(0, -1);
  return Buffer.from(`${body},"checksum":"${sha256(body)}"}`);
}

/** Parses a line without its newline. Undefined if the format or the checksum is invalid. */
export function parseEntry(line: Buffer): Entry | undefined {
  const [, checksum] = checksumPattern.exec(line.toString('latin1', Math.max(0, line.length - checksumBytes))) ?? [];
  if (checksum === undefined || checksum !== sha256(line.subarray(0, -checksumBytes))) return undefined;
  const fields: AuditFields = Object(parseJson(line.toString('utf8')));
  const { seq, previous, event } = fields;
  if (!Number.isSafeInteger(seq) || typeof previous !== 'string' || typeof event !== 'string') return undefined;
  return { seq: Number(seq), hash: sha256(line), previous, event, fields };
}

/** Whether a line has bytes after a complete entry. No crash produces that. */
export const hasTrailingBytes = (line: Buffer): boolean =>
  /,"checksum":"[0-9a-f]{64}"\}./s.test(line.toString('latin1'));

/** SHA-256 in lower-case hex. */
export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
