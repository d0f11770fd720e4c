import { type CheckpointReason, isDue } from '../checkpoint.js';
import { type AuditRecord, type ChainHead, maxLineBytes, sha256, writeEntry } from '../entry.js';

/** Makes the entry that states, signed, where the chain stands. */
export type CheckpointMaker = (link: ChainHead, reason: CheckpointReason) => AuditRecord;

/** Lines that are written together, each following the one before it. */
export class Batch {
  readonly #checkpoint: CheckpointMaker;
  readonly #lines: Buffer[] = [];
  readonly #links: ChainHead[] = [];
  #end: ChainHead;

  /** `unended`: the line before the first is not ended yet. */
  constructor(start: ChainHead, checkpoint: CheckpointMaker, unended: boolean) {
    this.#end = start;
    if (unended) this.#lines.push(newline);
    this.#checkpoint = checkpoint;
  }

  /** Where the chain stands once all of it is written. */
  get end(): ChainHead {
    return this.#end;
  }

  /** Where it stands behind each line. */
  get links(): readonly ChainHead[] {
    return this.#links;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#lines);
  }

  /** Adds an entry, and before it the checkpoint that is due. */
  add(happening: AuditRecord): void {
    if (isDue(this.#end.seq + 1)) this.checkpoint('interval');
    this.#push(happening);
  }

  checkpoint(reason: CheckpointReason): void {
    this.#push(this.#checkpoint(this.#end, reason));
  }

  #push(happening: AuditRecord): void {
    const line = writeEntry(happening, this.#end);
    if (line.length >= maxLineBytes) throw new Error('an entry is too long for the audit log');
    this.#lines.push(line, newline);
    this.#end = { seq: this.#end.seq + 1, hash: sha256(line) };
    this.#links.push(this.#end);
  }
}

const newline = Buffer.from('\n');
