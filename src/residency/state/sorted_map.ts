import { SortedList } from './sorted_list.js';

/** A map whose values are visited in the order of their keys. Visiting from a key on costs O(log n + the visited values). */
export class SortedMap<V> {
  readonly #byKey = new Map<string, V>();
  /** Sorted by UTF-16 code units. */
  readonly #keys = new SortedList<string>((a, b) => (a < b ? -1 : Number(a > b)));

  get size(): number {
    return this.#keys.size;
  }

  get(key: string): V | undefined {
    return this.#byKey.get(key);
  }

  set(key: string, value: V): void {
    if (!this.#byKey.has(key)) this.#keys.add(key);
    this.#byKey.set(key, value);
  }

  delete(key: string): void {
    if (this.#byKey.delete(key)) this.#keys.delete(key);
  }

  values(): Generator<V> {
    return this.#visit(this.#keys.values());
  }

  /** The values whose keys come after this one. The map must not change while they are visited. */
  after(key: string): Generator<V> {
    return this.#visit(this.#keys.values((other) => other <= key));
  }

  *#visit(keys: Iterable<string>): Generator<V> {
    for (const key of keys) {
      const value = this.#byKey.get(key);
      if (value !== undefined) yield value;
    }
  }
}
