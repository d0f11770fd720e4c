import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { WorkerError } from '../errors.js';

export type AuditEvent =
  | 'WorkerStarted'
  | 'WorkerStopped'
  | 'VramAllocated'
  | 'VramSealed'
  | 'VramDeallocated'
  | 'SealVerified'
  | 'SealVerificationFailed'
  | 'PolicyViolation'
  | 'RepairStarted'
  | 'RepairFailed'
  | 'ScrubPaused'
  | 'ScrubResumed'
  | 'ShardLost'
  | 'ShardForgotten'
  | 'AuthFailed'
  | 'SealKeyRotated'
  | 'TokenReplaced'
  | 'AuditRecovered';

export type AuditSeverity = 'info' | 'warning' | 'critical';

/** How much of the log's end is read at start to go on with its chain: more than any entry is long. */
const tailBytes = 64 * 1024;

/**
 * An append-only log of JSON lines, each with a sequence number and the SHA-256 of the line before it, on the disk before
 * the effect that it tells of is visible to anyone. Without a path it records nothing and is always writable.
 */
export class AuditLog {
  readonly #path: string | undefined;
  #descriptor: number | undefined;
  #seq = 0;
  #previous = '0'.repeat(64);
  #writable = true;
  readonly #changed: () => void;

  /** `changed` is told whenever `writable` turns. */
  constructor(path: string | undefined, changed: () => void) {
    this.#path = path;
    this.#changed = changed;
  }

  /** Whether the last entry reached the disk. */
  get writable(): boolean {
    return this.#writable;
  }

  /** Writes and syncs one entry. @throws WorkerError AUDIT_UNAVAILABLE, and then no part of it is in the log */
  append(event: AuditEvent, severity: AuditSeverity, fields: Readonly<Record<string, unknown>>): void {
    if (this.#path === undefined) return;
    try {
      const descriptor = this.#open(this.#path);
      const time = new Date().toISOString();
      const entry = { seq: this.#seq + 1, time, event, severity, ...fields, previous: this.#previous };
      const line = Buffer.from(JSON.stringify(entry));
      appendLine(descriptor, line);
      this.#seq++;
      this.#previous = sha256(line);
      this.#turn(true);
    } catch (cause) {
      this.close();
      this.#turn(false);
      throw new WorkerError('AUDIT_UNAVAILABLE', 'the audit log cannot be written', { cause, retryAfterMs: 1000 });
    }
  }

  /** Writes what has come to pass whether it can be written or not; a failure shows in `writable`. */
  note(event: AuditEvent, severity: AuditSeverity, fields: Readonly<Record<string, unknown>>): void {
    try {
      this.append(event, severity, fields);
    } catch {
      // append has said so already, to everyone who asks whether the log is writable.
    }
  }

  /** After a failure: tries to write again, so that a log that has room again is used again. */
  probe(): boolean {
    if (!this.#writable) this.note('AuditRecovered', 'warning', {});
    return this.#writable;
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    try {
      closeSync(this.#descriptor);
    } finally {
      this.#descriptor = undefined;
    }
  }

  #turn(writable: boolean): void {
    if (this.#writable === writable) return;
    this.#writable = writable;
    this.#changed();
  }

  #open(path: string): number {
    if (this.#descriptor !== undefined && isStill(this.#descriptor, path)) return this.#descriptor;
    this.close();
    const descriptor = openSync(path, 'a+', 0o600);
    this.#descriptor = descriptor;
    const tail = readTail(descriptor);
    if (tail.length === 0) return descriptor;
    const lines = tail.toString('utf8').split('\n');
    const last = lines.findLast((line, index) => index < lines.length - 1 && line !== '');
    if (tail.at(-1) !== 0x0a) writeSync(descriptor, '\n');
    if (last === undefined) return descriptor;
    this.#previous = sha256(Buffer.from(last));
    const parsed: unknown = JSON.parse(last);
    if (typeof parsed === 'object' && parsed !== null && 'seq' in parsed) this.#seq = Number(parsed.seq);
    return descriptor;
  }
}

/** Whether the open file is the one at its path: somebody may have moved it away. */
function isStill(descriptor: number, path: string): boolean {
  const [open, named] = [fstatSync(descriptor), statSync(path, { throwIfNoEntry: false })];
  return open.ino === named?.ino && open.dev === named.dev;
}

/** All of the line, or none of it. */
function appendLine(descriptor: number, line: Buffer): void {
  const stat = fstatSync(descriptor);
  try {
    const text = Buffer.concat([line, Buffer.from('\n')]);
    let written = 0;
    while (written < text.length) written += writeSync(descriptor, text, written);
    fdatasyncSync(descriptor);
  } catch (error) {
    if (stat.isFile()) ftruncateSync(descriptor, stat.size);
    throw error;
  }
}

function readTail(descriptor: number): Buffer {
  const stat = fstatSync(descriptor);
  if (!stat.isFile()) return Buffer.alloc(0);
  const tail = Buffer.alloc(Math.min(stat.size, tailBytes));
  readSync(descriptor, tail, 0, tail.length, stat.size - tail.length);
  return tail;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
