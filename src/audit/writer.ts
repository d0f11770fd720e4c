import { WorkerError } from '../errors.js';
import type { FileHolder } from '../storage/file_holder.js';
import { GroupCommit, type Outage } from '../storage/group_commit.js';
import { type Actor, systemActor } from './actor.js';
import type { CheckpointSigner } from './checkpoint.js';
import { type AuditRecord, maxLineBytes } from './entry.js';
import type { AuditEvent, AuditFields, AuditSeverity } from './event.js';
import type { CheckpointFactory } from './log/batch.js';
import type { AuditLog } from './log/log.js';

export interface AuditOptions {
  /** The log file. If undefined, the writer discards entries and counts as writable. */
  readonly path: string | undefined;
  /** A file that would grow beyond this size is rotated. */
  readonly maxBytes: number;
  readonly signer: CheckpointSigner;
  /** While another process holds it, the log is unwritable. Without it, other workers can use the log too. */
  readonly lock?: FileHolder | undefined;
  /**
   * Called when `isWritable` changes: with the cause when it turns false, with undefined when it turns true. Also
   * called for each failure in `close`.
   */
  readonly onChange: (cause: unknown) => void;
}

/** Best-effort records that wait until the log is open. */
const maxEarly = 256;

/** Bytes of a line that the common fields and the hashes take at most. */
const commonBytes = 4096;

/**
 * The worker's access to its audit log. A required entry is synced to disk before its effect is visible to any client.
 * A best-effort entry that cannot be written is queued, and is written before the next entry that can. Nothing here
 * blocks the event loop, and entries that wait at the same time share one sync.
 */
export class AuditWriter {
  readonly #options: AuditOptions;
  #log: AuditLog | undefined;
  #commits: GroupCommit<AuditRecord> | undefined;
  #early: AuditRecord[] = [];

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Loads the log's code. Until then required entries fail, and best-effort entries are queued. */
  async open(): Promise<void> {
    const { path, maxBytes, signer, onChange, lock } = this.#options;
    if (path === undefined) return;
    const [{ AuditLog }, { writeCheckpoint }] = await Promise.all([import('./log/log.js'), import('./checkpoint.js')]);
    const checkpoint: CheckpointFactory = (head, reason) => writeCheckpoint(signer, head, reason);
    const log = new AuditLog({ path, maxBytes, checkpoint, lock });
    this.#log = log;
    this.#commits = new GroupCommit<AuditRecord>({
      write: (records, signal, outage) => writeTo(log, records, signal, outage),
      check: () => log.requireWritable(),
      unavailable,
      onChange,
    });
    for (const entry of this.#early.splice(0)) void this.#commits.appendBestEffort(entry);
  }

  /** Whether the last write, or the last check of the file and its disk, succeeded. */
  get isWritable(): boolean {
    return this.#commits?.isWritable ?? true;
  }

  /** The number of the last entry on disk; undefined if it is unknown. */
  get lastSeq(): number | undefined {
    return this.#log?.lastSeq;
  }

  /** Resolves when the entry is on disk. @throws WorkerError AUDIT_UNAVAILABLE; then no part of the entry is in the log */
  async appendRequired(
    event: AuditEvent,
    severity: AuditSeverity,
    fields: AuditFields,
    actor: Actor = systemActor,
  ): Promise<void> {
    if (this.#options.path === undefined) return;
    if (!isShort(fields)) throw new WorkerError('INTERNAL', 'The audit entry is too long');
    if (this.#commits === undefined) throw unavailable(new Error('the audit log is not open'));
    await this.#commits.append(record(event, severity, fields, actor));
  }

  /**
   * Writes an entry about an effect that cannot be refused. Resolves when the entry is on disk, or queued because the log
   * is not writable. Never rejects.
   */
  async appendBestEffort(
    event: AuditEvent,
    severity: AuditSeverity,
    fields: AuditFields,
    actor: Actor = systemActor,
  ): Promise<void> {
    if (this.#options.path === undefined) return;
    const short = isShort(fields) ? fields : { shard_id: fields.shard_id, detail: 'the fields were too long' };
    const entry = record(event, severity, short, actor);
    if (this.#commits !== undefined) return this.#commits.appendBestEffort(entry);
    if (this.#early.length < maxEarly) this.#early.push(entry);
  }

  /** After a failure, tries to write the queued entries. Returns whether the log is writable now. Never rejects. */
  async recover(): Promise<boolean> {
    return this.#commits?.recover() ?? true;
  }

  /** Checks, without a write, whether the log is writable. Called every second. Never rejects. */
  async tick(): Promise<void> {
    await this.#commits?.tick();
  }

  /** Writes the queued entries and a final checkpoint, and closes the file. Failures go to `onChange` only. */
  async close(): Promise<void> {
    const log = this.#log;
    if (log === undefined) return;
    await this.#commits?.close(async () => {
      await log.checkpoint('stop').catch((cause: unknown) => this.#options.onChange(cause));
      await log.close();
    });
  }
}

/** Writes records, after the entry about an outage if there was one. */
async function writeTo(
  log: AuditLog,
  records: readonly AuditRecord[],
  signal: AbortSignal,
  outage: Outage | undefined,
): Promise<number> {
  if (outage === undefined) return log.append(records, signal);
  const fields = { reason: 'outage', late_entries: outage.late, dropped_entries: outage.dropped };
  const recovered = record('AuditRecovered', 'warning', fields, systemActor);
  return (await log.append([recovered, ...records], signal)) - 1;
}

/** An entry that is too long must not fail the others of its batch. */
const isShort = (fields: AuditFields): boolean =>
  Buffer.byteLength(JSON.stringify(fields)) <= maxLineBytes - commonBytes;

const unavailable = (cause: unknown): WorkerError =>
  new WorkerError('AUDIT_UNAVAILABLE', 'The audit log cannot be written', { cause, retryAfterMs: 1000 });

const record = (event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor): AuditRecord => ({
  time: new Date().toISOString(),
  event,
  severity,
  actor,
  fields,
});
