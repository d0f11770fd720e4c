import { WorkerError } from '../errors.js';
import { type Actor, systemActor } from './actor.js';
import type { CheckpointSigner } from './checkpoint.js';
import type { AuditRecord } from './entry.js';
import type { AuditEvent, AuditFields, AuditSeverity } from './event.js';
import type { CheckpointMaker } from './log/batch.js';
import type { AuditLog } from './log/log.js';

export interface AuditOptions {
  /** Where the log is; undefined: nothing is recorded, and it counts as writable. */
  readonly path: string | undefined;
  readonly maxBytes: number;
  readonly signer: CheckpointSigner;
  /** Told whenever `writable` turns, and why where it can't be written; and at the end, where something is not on the log. */
  readonly changed: (cause: unknown) => void;
}

/** So many notes wait for a log that can't be written; of more, the oldest are counted and dropped. */
const maxWaiting = 256;

/**
 * What everyone here writes to. An entry is on the disk before the effect that it tells of is visible to anyone; what
 * came to pass all the same while the log could not be written follows as soon as it can.
 */
export class AuditWriter {
  readonly #options: AuditOptions;
  #log: AuditLog | undefined;
  #writable = true;
  #waiting: AuditRecord[] = [];
  #dropped = 0;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Until then notes wait. Its code is loaded only where there is a log. */
  async open(): Promise<void> {
    const { path, maxBytes, signer } = this.#options;
    if (path === undefined) return;
    const [{ AuditLog }, { writeCheckpoint }] = await Promise.all([import('./log/log.js'), import('./checkpoint.js')]);
    const checkpoint: CheckpointMaker = (link, reason) => writeCheckpoint(signer, link, reason);
    this.#log = new AuditLog({ path, maxBytes, checkpoint });
  }

  /** Whether the last attempt to write, or the last look at the disk, went well. */
  get writable(): boolean {
    return this.#writable;
  }

  /** Writes and syncs one entry. @throws WorkerError AUDIT_UNAVAILABLE, and then no part of it is in the log */
  appendRequired(event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor = systemActor): void {
    this.#write([record(event, severity, fields, actor)]);
  }

  /** Writes what has come to pass whether it can be written or not; what can't be written waits. */
  appendBestEffort(event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor = systemActor): void {
    const entry = record(event, severity, fields, actor);
    try {
      this.#write([entry]);
    } catch {
      this.#waiting.push(entry);
      if (this.#waiting.length > maxWaiting) this.#dropped++;
      this.#waiting = this.#waiting.slice(-maxWaiting);
    }
  }

  /** After a failure: tries to write again, so that a log that has room again is used again. */
  tryRecover(): boolean {
    if (this.#writable) return true;
    try {
      this.#write([]);
    } catch {
      // Whoever asks whether it is writable learns of it.
    }
    return this.#writable;
  }

  /** Looks, without writing, whether it could be written; to be called now and then. */
  tick(): void {
    if (!this.tryRecover()) return;
    try {
      this.#log?.check();
    } catch (cause) {
      this.#turn(false, cause);
    }
  }

  /** Seals the chain's end, signed, and closes the file, as far as that can be done: the next process finds it as it is. */
  close(): void {
    this.#attempt(() => {
      if (this.#waiting.length > 0 || !this.#writable) this.#write([]);
      this.#log?.checkpoint('stop');
    });
    this.#attempt(() => this.#log?.close());
    this.#log = undefined;
  }

  /** A failure is told and no more: the process ends. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (cause) {
      this.#options.changed(cause);
    }
  }

  #write(entries: readonly AuditRecord[]): void {
    if (this.#options.path === undefined) return;
    const recovered = this.#writable ? [] : [this.#recovery()];
    try {
      if (this.#log === undefined) throw new Error('the audit log is not open');
      this.#log.check();
      this.#log.append([...recovered, ...this.#waiting, ...entries]);
    } catch (cause) {
      if (this.#log !== undefined) this.#turn(false, cause);
      throw new WorkerError('AUDIT_UNAVAILABLE', 'the audit log cannot be written', { cause, retryAfterMs: 1000 });
    }
    this.#waiting = [];
    this.#dropped = 0;
    this.#turn(true);
  }

  #recovery(): AuditRecord {
    const fields = { reason: 'outage', late_entries: this.#waiting.length, dropped_entries: this.#dropped };
    return record('AuditRecovered', 'warning', fields, systemActor);
  }

  #turn(writable: boolean, cause?: unknown): void {
    if (this.#writable === writable) return;
    this.#writable = writable;
    this.#options.changed(cause);
  }
}

const record = (event: AuditEvent, severity: AuditSeverity, fields: AuditFields, actor: Actor): AuditRecord => ({
  time: new Date().toISOString(),
  event,
  severity,
  actor,
  fields,
});
