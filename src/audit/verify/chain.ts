import { checkpointOf, isDue, type KeysOf, readCheckpoint, signatureFault } from '../checkpoint.js';
import { type ChainHead, type Entry, genesis, overwritten, readEntry } from '../entry.js';

/** Where a chain is broken: the number that the first bad entry has, or ought to have, and what is wrong there. */
export interface ChainFault {
  readonly seq: number;
  readonly detail: string;
}

export interface ChainOptions {
  /** Hashes that entries are known to have, by their numbers, from checkpoints that were kept elsewhere. */
  readonly kept: ReadonlyMap<number, string>;
  /**
   * Where it is given, checkpoints must be signed by its keys. One of a key that is not among them stands when a later one
   * that is vouches for all before it: a log outlives the keys of its workers.
   */
  readonly keysOf?: KeysOf;
}

/** So many links are remembered, to tell an entry that was put in from one that is missing. */
const rememberedLinks = 256;

/** Judges the entries of a log, one after the other; each by the one before it and, where they disagree, the one behind. */
export class Chain {
  readonly #options: ChainOptions;
  /** The links that were accepted last, by their hashes. */
  readonly #recent = new Map<string, ChainHead>();
  #end: ChainHead | undefined;
  #firstSeq = 0;
  #checkpoints = 0;
  /** The first checkpoint that nothing vouches for yet. */
  #unvouched: number | undefined;

  constructor(options: ChainOptions) {
    this.#options = options;
  }

  /** The last entry that was accepted, and how many there were from which on. */
  get extent(): { readonly firstSeq: number; readonly lastSeq: number; readonly checkpoints: number } {
    return { firstSeq: this.#firstSeq, lastSeq: this.#end?.seq ?? 0, checkpoints: this.#checkpoints };
  }

  /** Takes the next line, and looks at the one behind it; undefined where all is well. */
  add(line: Buffer, next: Buffer | undefined): ChainFault | undefined {
    const entry = readEntry(line);
    const end = this.#end ?? startOf(entry, line, next, this.#options.kept);
    if (this.#firstSeq === 0) {
      this.#firstSeq = end.seq + 1;
      this.#remember(end);
      const early = this.#outside(end);
      if (early !== undefined) return early;
    }
    const expected = end.seq + 1;
    if (entry === undefined) return { seq: expected, detail: 'is not what was written' };
    return this.#breakAt(entry, end, next) ?? this.#misstated(entry) ?? this.#accept(entry);
  }

  /** What is wrong at the end of the last file. */
  finish(): ChainFault | undefined {
    const last = this.#end?.seq ?? 0;
    if ([...this.#options.kept.keys()].some((seq) => seq > last)) {
      return { seq: last + 1, detail: 'is missing, and all that followed it: a kept checkpoint names more' };
    }
    if (this.#unvouched === undefined) return undefined;
    const detail = 'is a checkpoint that was not signed with a key given, and no later one was';
    return { seq: this.#unvouched, detail };
  }

  #breakAt(entry: Entry, end: ChainHead, next: Buffer | undefined): ChainFault | undefined {
    const follows = this.#recent.get(entry.previous);
    const expected = end.seq + 1;
    if (entry.previous === end.hash && entry.seq === expected) return undefined;
    if (this.#recent.has(entry.hash)) {
      return { seq: expected, detail: `is missing: entry ${entry.seq} stands in its place, a second time` };
    }
    if (follows !== undefined && entry.seq === follows.seq + 1) {
      return { seq: entry.seq, detail: 'is there twice: one was put in' };
    }
    if (entry.seq !== expected) return { seq: expected, detail: `is missing: entry ${entry.seq} stands in its place` };
    const behind = next === undefined ? undefined : readEntry(next);
    if (behind?.previous === end.hash || end.seq < this.#firstSeq) return { seq: expected, detail: 'was put in' };
    return { seq: end.seq, detail: 'is not the entry that the next one followed' };
  }

  /** What an entry that fits says wrongly, or what a kept checkpoint says of it. */
  #misstated(entry: Entry): ChainFault | undefined {
    const { seq, previous } = entry;
    const jws = checkpointOf(entry);
    if (jws === undefined) {
      const bare = isDue(seq) || entry.event === 'AuditCheckpoint';
      return bare ? { seq, detail: 'is not the checkpoint that belongs there' } : this.#contradicted(entry);
    }
    const claims = readCheckpoint(jws);
    if (claims === undefined || claims.sequence !== seq - 1)
      return { seq, detail: 'states nothing of the entry before it' };
    if (claims.hash !== previous) return { seq: seq - 1, detail: 'is not the entry that was signed' };
    const { keysOf } = this.#options;
    const fault = keysOf === undefined ? null : signatureFault(jws, keysOf);
    if (fault === null) this.#unvouched = undefined;
    else if (fault === 'unknown_key') this.#unvouched ??= seq;
    else return { seq, detail: `is a checkpoint that was not signed with the key given (${fault})` };
    return this.#contradicted(entry);
  }

  #contradicted({ seq, hash }: ChainHead): ChainFault | undefined {
    const kept = this.#options.kept.get(seq);
    return kept === undefined || kept === hash ? undefined : { seq, detail: 'is not the entry of a kept checkpoint' };
  }

  #accept(entry: Entry): undefined {
    if (checkpointOf(entry) !== undefined) this.#checkpoints++;
    this.#end = entry;
    this.#remember(entry);
    return undefined;
  }

  #remember({ seq, hash }: ChainHead): void {
    this.#recent.set(hash, { seq, hash });
    const [oldest = ''] = this.#recent.keys();
    if (this.#recent.size > rememberedLinks) this.#recent.delete(oldest);
  }

  /** What kept checkpoints say of entries before the first that is here. */
  #outside(start: ChainHead): ChainFault | undefined {
    const before = [...this.#options.kept.keys()].filter((seq) => seq < start.seq);
    if (before.length > 0) return { seq: Math.min(...before), detail: 'is in none of these files' };
    return this.#contradicted(start);
  }
}

/**
 * Where a chain begins: at its first entry; behind the file that a worker put aside, as a signed checkpoint says; or
 * behind an entry that a kept checkpoint names.
 */
function startOf(
  first: Entry | undefined,
  line: Buffer,
  next: Buffer | undefined,
  kept: ReadonlyMap<number, string>,
): ChainHead {
  if (first === undefined) {
    const second = next === undefined ? undefined : readEntry(next);
    // A newline that was damaged makes one line of two.
    const lines = overwritten(line) ? 2 : 1;
    return second === undefined ? genesis : { seq: Math.max(0, second.seq - lines - 1), hash: '' };
  }
  const jws = checkpointOf(first);
  const claims = jws === undefined ? undefined : readCheckpoint(jws);
  const before = { seq: first.seq - 1, hash: first.previous };
  return claims?.reason === 'rotation' || kept.get(before.seq) === before.hash ? before : genesis;
}
