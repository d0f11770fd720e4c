import { checkpointOf, isCheckpointDue, type KeysOf, readCheckpoint, signatureFault } from '../checkpoint.js';
import { type ChainHead, type Entry, genesis, hasTrailingBytes, parseEntry } from '../entry.js';

/** The first invalid entry: its actual or expected number, and a predicate that completes `entry 42 …`. */
export interface ChainFault {
  readonly seq: number;
  readonly detail: string;
}

/** The valid entries: first and last number, and the count of checkpoints. All are 0 for an empty log. */
export interface Extent {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly checkpoints: number;
}

export interface ChainOptions {
  /** Expected hashes by entry number, from checkpoints that were kept outside the log. */
  readonly kept: ReadonlyMap<number, string>;
  /**
   * If given, signatures are verified. A checkpoint with an unknown key is accepted if a later checkpoint has a known
   * key: a log outlives the keys of its workers.
   */
  readonly keysOf?: KeysOf;
}

/** Entries remembered, to tell an inserted entry from a missing one. */
const maxRecent = 256;

/** Verifies entries in order. If two adjacent entries disagree, the entry after them decides which one is invalid. */
export class ChainVerifier {
  readonly #options: ChainOptions;
  /** The last accepted entries, by their hashes. */
  readonly #recent = new Map<string, ChainHead>();
  #head: ChainHead | undefined;
  #firstSeq = 0;
  #checkpoints = 0;
  /** The first checkpoint with an unknown key that no later checkpoint with a known key confirms. */
  #unconfirmed: number | undefined;

  constructor(options: ChainOptions) {
    this.#options = options;
  }

  /** The entries accepted so far. */
  get extent(): Extent {
    return { firstSeq: this.#firstSeq, lastSeq: this.#head?.seq ?? 0, checkpoints: this.#checkpoints };
  }

  /** Verifies the next line. `next` is the line after it. Returns undefined if the line is valid. */
  add(line: Buffer, next: Buffer | undefined): ChainFault | undefined {
    const entry = parseEntry(line);
    const head = this.#head ?? startOf({ first: entry, line, next, kept: this.#options.kept });
    if (this.#firstSeq === 0) {
      this.#firstSeq = head.seq + 1;
      this.#remember(head);
      const fault = this.#startFault(head);
      if (fault !== undefined) return fault;
    }
    if (entry === undefined) return { seq: head.seq + 1, detail: 'has an invalid format or checksum' };
    return this.#linkFault(entry, head, next) ?? this.#checkpointFault(entry) ?? this.#accept(entry);
  }

  /** Verifies the end of the last file. Returns undefined if it is valid. */
  finish(): ChainFault | undefined {
    const last = this.#head?.seq ?? 0;
    if ([...this.#options.kept.keys()].some((seq) => seq > last)) {
      return { seq: last + 1, detail: 'is missing: a kept checkpoint names a later entry' };
    }
    if (this.#unconfirmed === undefined) return undefined;
    const detail = 'is a checkpoint signed with an unknown key, and no later checkpoint is signed with a known key';
    return { seq: this.#unconfirmed, detail };
  }

  /** Checks the number of an entry and its hash of the previous one. */
  #linkFault(entry: Entry, head: ChainHead, next: Buffer | undefined): ChainFault | undefined {
    const follows = this.#recent.get(entry.previous);
    const expected = head.seq + 1;
    if (entry.previous === head.hash && entry.seq === expected) return undefined;
    if (this.#recent.has(entry.hash)) {
      return { seq: expected, detail: `is missing: a second copy of entry ${entry.seq} is in its place` };
    }
    if (follows !== undefined && entry.seq === follows.seq + 1) {
      return { seq: entry.seq, detail: 'appears twice: one of the two was inserted' };
    }
    if (entry.seq !== expected) return { seq: expected, detail: `is missing: entry ${entry.seq} is in its place` };
    const after = next === undefined ? undefined : parseEntry(next);
    if (after?.previous === head.hash || head.seq < this.#firstSeq) return { seq: expected, detail: 'was inserted' };
    return { seq: head.seq, detail: 'does not match the hash in the next entry' };
  }

  /** Checks that checkpoints are where they must be, that their claims hold, and that the kept hashes match. */
  #checkpointFault(entry: Entry): ChainFault | undefined {
    const { seq, previous } = entry;
    const jws = checkpointOf(entry);
    if (jws === undefined) {
      const required = isCheckpointDue(seq) || entry.event === 'AuditCheckpoint';
      return required ? { seq, detail: 'lacks its checkpoint' } : this.#keptFault(entry);
    }
    const claims = readCheckpoint(jws);
    if (claims === undefined || claims.sequence !== seq - 1)
      return { seq, detail: 'is a checkpoint that does not describe the previous entry' };
    if (claims.hash !== previous) return { seq: seq - 1, detail: 'does not match the hash in the next checkpoint' };
    const { keysOf } = this.#options;
    const fault = keysOf === undefined ? null : signatureFault(jws, keysOf);
    if (fault === null) this.#unconfirmed = undefined;
    else if (fault === 'unknown_key') this.#unconfirmed ??= seq;
    else return { seq, detail: `is a checkpoint with an invalid signature (${fault})` };
    return this.#keptFault(entry);
  }

  #keptFault({ seq, hash }: ChainHead): ChainFault | undefined {
    const kept = this.#options.kept.get(seq);
    return kept === undefined || kept === hash
      ? undefined
      : { seq, detail: 'does not match the hash in a kept checkpoint' };
  }

  #accept(entry: Entry): undefined {
    if (checkpointOf(entry) !== undefined) this.#checkpoints++;
    this.#head = entry;
    this.#remember(entry);
    return undefined;
  }

  #remember({ seq, hash }: ChainHead): void {
    this.#recent.set(hash, { seq, hash });
    const [oldest = ''] = this.#recent.keys();
    if (this.#recent.size > maxRecent) this.#recent.delete(oldest);
  }

  /** Checks the kept hashes of `start` and of the entries before it, which are not in these files. */
  #startFault(start: ChainHead): ChainFault | undefined {
    let first = start.seq;
    for (const seq of this.#options.kept.keys()) first = Math.min(first, seq);
    if (first === start.seq) return this.#keptFault(start);
    return { seq: first, detail: 'is missing from these files: a kept checkpoint names it' };
  }
}

interface FirstLine {
  /** The first entry, if its line is valid. */
  readonly first: Entry | undefined;
  readonly line: Buffer;
  readonly next: Buffer | undefined;
  readonly kept: ReadonlyMap<number, string>;
}

/**
 * The position before the first entry: genesis, the end of a rotated file if a checkpoint says so, or the entry that a
 * kept checkpoint names.
 */
function startOf({ first, line, next, kept }: FirstLine): ChainHead {
  if (first === undefined) {
    const second = next === undefined ? undefined : parseEntry(next);
    // A damaged newline joins two lines.
    const lines = hasTrailingBytes(line) ? 2 : 1;
    return second === undefined ? genesis : { seq: Math.max(0, second.seq - lines - 1), hash: '' };
  }
  const jws = checkpointOf(first);
  const claims = jws === undefined ? undefined : readCheckpoint(jws);
  const before = { seq: first.seq - 1, hash: first.previous };
  return claims?.reason === 'rotation' || kept.get(before.seq) === before.hash ? before : genesis;
}
