/** Values of a chunk, at most. */
const chunkValues = 512;

/** True for the first values of a list, which are before a place, and false for all others. */
type IsBefore<V> = (value: V) => boolean;

/** A list that is always sorted. A change finds its place in O(log n), and moves the values of one chunk. */
export class SortedList<V extends object> {
  readonly #compare: (a: V, b: V) => number;
  /** In order. None is empty. */
  readonly #chunks: V[][] = [];
  #size = 0;

  /** `compare` returns a number below, equal to or above zero, as for `Array.prototype.sort`. */
  constructor(compare: (a: V, b: V) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#size;
  }

  get first(): V | undefined {
    return this.#chunks[0]?.[0];
  }

  /** Adds a value before all that equal it. */
  add(value: V): void {
    this.#size++;
    const last = this.#chunks.length - 1;
    const at = Math.min(this.#chunkOf(this.#isBefore(value)), Math.max(0, last));
    const chunk = this.#chunks[at];
    if (chunk === undefined) {
      this.#chunks.push([value]);
      return;
    }
    chunk.splice(firstIndex(chunk, this.#isBefore(value)), 0, value);
    if (chunk.length <= chunkValues) return;
    // Most values are added at the end, where halves would stay halves.
    this.#chunks.splice(at + 1, 0, chunk.splice(at === last ? chunkValues : chunkValues / 2));
  }

  /** Removes the first value that equals this one. Returns it. */
  delete(value: V): V | undefined {
    const at = this.#chunkOf(this.#isBefore(value));
    const chunk = this.#chunks[at] ?? [];
    const index = firstIndex(chunk, this.#isBefore(value));
    const found = chunk[index];
    if (found === undefined || this.#compare(found, value) !== 0) return undefined;
    this.#size--;
    chunk.splice(index, 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    return found;
  }

  /** How many values are before a place. */
  countBefore(isBefore: IsBefore<V>): number {
    const at = this.#chunkOf(isBefore);
    let count = firstIndex(this.#chunks[at] ?? [], isBefore);
    for (let chunk = 0; chunk < at; chunk++) count += this.#chunks[chunk]?.length ?? 0;
    return count;
  }

  /** The values from a place on, by default all, in runs. The list must not change while they are visited. */
  *runs(isBefore: IsBefore<V> = () => false): Generator<readonly V[]> {
    const first = this.#chunkOf(isBefore);
    for (let at = first; at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at] ?? [];
      yield at === first ? chunk.slice(firstIndex(chunk, isBefore)) : chunk;
    }
  }

  #isBefore(value: V): IsBefore<V> {
    return (other) => this.#compare(other, value) < 0;
  }

  /** The index of the first chunk that does not end before a place. */
  #chunkOf(isBefore: IsBefore<V>): number {
    return firstIndex(this.#chunks, (chunk) => {
      const last = chunk[chunk.length - 1];
      return last !== undefined && isBefore(last);
    });
  }
}

/** The index of the first value that is not before the place; the length if there is none. */
function firstIndex<T extends object>(values: readonly T[], isBefore: IsBefore<T>): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const value = values[middle];
    if (value !== undefined && isBefore(value)) low = middle + 1;
    else high = middle;
  }
  return low;
}
