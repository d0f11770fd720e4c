import type { AuditWriter } from '../../audit/writer.js';

/** Entries about refused processes a second. A process that tries in a loop must not fill the disk. */
const maxEntriesPerSecond = 10;

/** Records refused processes in the audit log, within a rate. An entry counts those that were left out before it. */
export class RefusedLeases {
  readonly #audit: Pick<AuditWriter, 'appendBestEffort'>;
  #secondStartMs = Number.NEGATIVE_INFINITY;
  #entries = 0;
  #leftOut = 0;

  constructor(audit: Pick<AuditWriter, 'appendBestEffort'>) {
    this.#audit = audit;
  }

  add(code: string, fields: Readonly<Record<string, unknown>>): void {
    const nowMs = performance.now();
    if (nowMs >= this.#secondStartMs + 1000) {
      this.#secondStartMs = nowMs;
      this.#entries = 0;
    }
    if (this.#entries === maxEntriesPerSecond) return void this.#leftOut++;
    this.#entries++;
    void this.#audit.appendBestEffort('LeaseRefused', 'warning', { code, ...fields, left_out: this.#leftOut });
    this.#leftOut = 0;
  }
}
