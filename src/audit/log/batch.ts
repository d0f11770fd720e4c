import { type CheckpointReason, isCheckpointDue } from '../checkpoint.js';
import { type AuditRecord, type ChainHead, formatEntry, maxLineBytes, sha256 } from '../entry.js';

/** Makes the record of a checkpoint that signs `head`. */
export type CheckpointFactory = (head: ChainHead, reason: CheckpointReason) => AuditRecord;

export interface BatchOptions {
  /** The position of the last entry in the file. */
  readonly start: ChainHead;
  readonly checkpoint: CheckpointFactory;
  /** Whether the file lacks the newline of its last entry. */
  readonly startsWithNewline: boolean;
}

/** Consecutive lines that are written with one append. */
export class Batch {
  readonly #checkpoint: CheckpointFactory;
  readonly #lines: Buffer[] = [];
  readonly #heads: ChainHead[] = [];
  #head: ChainHead;
  #length = 0;

  constructor({ start, checkpoint, startsWithNewline }: BatchOptions) {
    this.#head = start;
    if (startsWithNewline) {
      this.#lines.push(newline);
      this.#length = newline.length;
    }
    this.#checkpoint = checkpoint;
  }

  /** The position of the last line. */
  get head(): ChainHead {
    return this.#head;
  }

  /** The position of each line, in order. */
  get heads(): readonly ChainHead[] {
    return this.#heads;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#lines);
  }

  /** The number of bytes. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds an entry, after the checkpoint if one is due. Returns false, and adds nothing, if the batch would have more than
   * `maxBytes`. @throws Error if the line is too long
   */
  add(record: AuditRecord, maxBytes = Number.POSITIVE_INFINITY): boolean {
    const [head, lines, heads, length] = [this.#head, this.#lines.length, this.#heads.length, this.#length];
    if (isCheckpointDue(this.#head.seq + 1)) this.checkpoint('interval');
    this.#push(record);
    if (this.#length <= maxBytes) return true;
    this.#head = head;
    this.#length = length;
    this.#lines.length = lines;
    this.#heads.length = heads;
    return false;
  }

  checkpoint(reason: CheckpointReason): void {
    this.#push(this.#checkpoint(this.#head, reason));
  }

  #push(record: AuditRecord): void {
    const line = formatEntry(record, this.#head);
    if (line.length >= maxLineBytes) throw new Error(`audit entry is too long: the limit is ${maxLineBytes - 1} bytes`);
    this.#lines.push(line, newline);
    this.#length += line.length + newline.length;
    this.#head = { seq: this.#head.seq + 1, hash: sha256(line) };
    this.#heads.push(this.#head);
  }
}

const newline = Buffer.from('\n');
