import { InvalidFormat } from './invalid_format.js';

/** The most names of one model that a check keeps. The largest have 500,000 tensors, in their files and an index. */
const maxNames = 2_000_000;
/** The most characters of these names. */
const maxChars = 128 * 1024 * 1024;

/**
 * What is left of the names that a check may keep. The bound is of the number, not only of the heap: V8 aborts the
 * process, and not the thread, if a set cannot grow (measured with Node 20).
 */
export class NameBudget {
  #names: number;
  #chars: number;

  constructor(names = maxNames, chars = maxChars) {
    this.#names = names;
    this.#chars = chars;
  }

  /** A budget with the same rest, for a parse that may start again. */
  copy(): NameBudget {
    return new NameBudget(this.#names, this.#chars);
  }

  /** Takes over the rest of a copy. */
  set(copy: NameBudget): void {
    this.#names = copy.#names;
    this.#chars = copy.#chars;
  }

  /** Takes a name. `at` is for errors. @throws InvalidFormat too_many_names */
  take(name: string, at: number): void {
    this.#names -= 1;
    this.#chars -= name.length;
    if (this.#names < 0 || this.#chars < 0) throw new InvalidFormat('too_many_names', at);
  }
}

/** Names that occur once. */
export class NameSet {
  readonly names = new Set<string>();

  constructor(private readonly budget: NameBudget) {}

  /** Adds a name. Returns false if it was there. @throws InvalidFormat too_many_names */
  add(name: string, at: number): boolean {
    if (this.names.has(name)) return false;
    this.budget.take(name, at);
    this.names.add(name);
    return true;
  }
}
