import { WorkerError } from '../errors.js';
import { type Actor, systemActor } from './actor.js';
import type { CheckpointSigner } from './checkpoint.js';
import type { AuditRecord } from './entry.js';
import type { AuditEvent, AuditFields, AuditSeverity } from './event.js';
import type { CheckpointFactory } from './log/batch.js';
import type { AuditLog } from './log/log.js';

export interface AuditOptions {
  /** The log file. If undefined, the writer discards entries and counts as writable. */
  readonly path: string | undefined;
  /** A file that would grow beyond this size is rotated. */
  readonly maxBytes: number;
  readonly signer: CheckpointSigner;
  /**
   * Called when `isWritable` changes: with the cause when it turns false, with undefined when it turns true. Also
   * called for each failure in `close`.
   */
  readonly onChange: (cause: unknown) => void;
}

/** Best-effort records that wait for an unwritable log. Beyond this the oldest is counted and dropped. */
const maxQueued = 256;

/**
 * The worker's access to its audit log. A required entry is synced to disk before its effect is visible to any client.
 * A best-effort entry that cannot be written is queued, and is written before the next entry that can.
 */
export class AuditWriter {
  readonly #options: AuditOptions;
  #log: AuditLog | undefined;
  #isWritable = true;
  #queued: AuditRecord[] = [];
  #dropped = 0;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Loads the log's code. Until then required entries fail, and best-effort entries are queued. */
  async open(): Promise<void> {
    const { path, maxBytes, signer } = this.#options;
    if (path === undefined) return;
    const [{ AuditLog }, { writeCheckpoint }] = await Promise.all([import('./log/log.js'), import('./checkpoint.js')]);
    const checkpoint: CheckpointFactory = (head, reason) => writeCheckpoint(signer, head, reason);
    this.#log = new AuditLog({ path, maxBytes, checkpoint });
  }

  /** Whether the last write, or the last check of the file and its disk, succeeded. */
  get isWritable(): boolean {
    return this.#isWritable;
  }

  /** Writes and syncs one entry. @throws WorkerError AUDIT_UNAVAILABLE; then no part of the entry is in the log */
  appendRequired(event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor = systemActor): void {
    this.#append([record(event, severity, fields, actor)]);
  }

  /** Writes an entry about an effect that cannot be refused. If the log is not writable, the entry is queued. */
  appendBestEffort(event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor = systemActor): void {
    const entry = record(event, severity, fields, actor);
    try {
      this.#append([entry]);
    } catch {
      this.#queued.push(entry);
      if (this.#queued.length > maxQueued) this.#dropped++;
      this.#queued = this.#queued.slice(-maxQueued);
    }
  }

  /** After a failure, tries to write the queued entries. Returns whether the log is writable now. */
  tryRecover(): boolean {
    if (this.#isWritable) return true;
    try {
      this.#append([]);
    } catch {
      // `onChange` has reported the cause, and the return value says that the log is still unwritable.
    }
    return this.#isWritable;
  }

  /** Checks, without a write, whether the log is writable. Called every second. */
  tick(): void {
    if (!this.tryRecover()) return;
    try {
      this.#log?.requireWritable();
    } catch (cause) {
      this.#setWritable(false, cause);
    }
  }

  /** Writes the queued entries and a final checkpoint, and closes the file. Failures go to `onChange` only. */
  close(): void {
    this.#try(() => {
      if (this.#queued.length > 0 || !this.#isWritable) this.#append([]);
      this.#log?.checkpoint('stop');
    });
    this.#try(() => this.#log?.close());
    this.#log = undefined;
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (cause) {
      this.#options.onChange(cause);
    }
  }

  #append(records: readonly AuditRecord[]): void {
    if (this.#options.path === undefined) return;
    const recovery = this.#isWritable ? [] : [this.#recoveryRecord()];
    try {
      if (this.#log === undefined) throw new Error('the audit log is not open');
      this.#log.requireWritable();
      this.#log.append([...recovery, ...this.#queued, ...records]);
    } catch (cause) {
      if (this.#log !== undefined) this.#setWritable(false, cause);
      throw new WorkerError('AUDIT_UNAVAILABLE', 'The audit log cannot be written', { cause, retryAfterMs: 1000 });
    }
    this.#queued = [];
    this.#dropped = 0;
    this.#setWritable(true);
  }

  #recoveryRecord(): AuditRecord {
    const fields = { reason: 'outage', late_entries: this.#queued.length, dropped_entries: this.#dropped };
    return record('AuditRecovered', 'warning', fields, systemActor);
  }

  #setWritable(isWritable: boolean, cause?: unknown): void {
    if (this.#isWritable === isWritable) return;
    this.#isWritable = isWritable;
    this.#options.onChange(cause);
  }
}

const record = (event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor): AuditRecord => ({
  time: new Date().toISOString(),
  event,
  severity,
  actor,
  fields,
});
