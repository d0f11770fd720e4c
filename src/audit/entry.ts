import { createHash } from 'node:crypto';
import type { Actor } from './actor.js';
import type { AuditEvent, AuditFields, AuditSeverity } from './event.js';

/** A place in the chain: the number of an entry, and the SHA-256 of its line, in hex. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** Before the first entry. */
export const genesis: ChainHead = { seq: 0, hash: '0'.repeat(64) };

/** One thing to be written down. */
export interface AuditRecord {
  readonly time: string;
  readonly event: AuditEvent;
  readonly severity: AuditSeverity;
  readonly actor: Actor;
  readonly fields: AuditFields;
}

/** An entry as a reader of the log takes it. */
export interface Entry extends ChainHead {
  /** The hash of the line before it. */
  readonly previous: string;
  readonly event: string;
  readonly fields: AuditFields;
}

/** A line is no longer than this, its newline included. */
export const maxLineBytes = 64 * 1024;

/** What every line begins with. */
export const lineStart = Buffer.from('{"seq":');

const ending = /,"checksum":"([0-9a-f]{64})"\}$/;

/** The length of `,"checksum":"…"}`. */
const endingBytes = 79;

/**
 * The line of an entry, without its newline: a JSON object that begins with what every entry has, and ends with the
 * SHA-256 of the line before it (`previous`) and the SHA-256 of all that stands before the checksum itself.
 */
export function writeEntry({ time, event, severity, actor, fields }: AuditRecord, { seq, hash }: ChainHead): Buffer {
  const { shard_id = null, digest = null, tree_digest = null, ...more } = fields;
  const common = { seq: seq + 1, time, event, severity, actor: actor.name, request_id: actor.requestId };
  const entry = { ...common, shard_id, digest, tree_digest, ...more, previous: hash };
  const body = JSON.stringify(entry).slice(0, -1);
  return Buffer.from(`${body},"checksum":"${sha256(body)}"}`);
}

/** Reads a line back, without its newline; undefined where it is not, byte for byte, an entry as we write them. */
export function readEntry(line: Buffer): Entry | undefined {
  const [, checksum] = ending.exec(line.toString('latin1', Math.max(0, line.length - endingBytes))) ?? [];
  if (checksum === undefined || checksum !== sha256(line.subarray(0, -endingBytes))) return undefined;
  const fields = parse(line);
  if (fields === undefined) return undefined;
  const { seq, previous, event } = fields;
  if (!Number.isSafeInteger(seq) || typeof previous !== 'string' || typeof event !== 'string') return undefined;
  return { seq: Number(seq), hash: sha256(line), previous, event, fields };
}

/** Whether an incomplete last line holds a whole entry and more: no crash leaves that behind. */
export const overwritten = (line: Buffer): boolean => /,"checksum":"[0-9a-f]{64}"\}./s.test(line.toString('latin1'));

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

function parse(line: Buffer): AuditFields | undefined {
  try {
    return Object(JSON.parse(line.toString('utf8')));
  } catch {
    return undefined;
  }
}
