import { SortedList } from './sorted_list.js';

interface Entry<V> {
  readonly key: string;
  value: V;
}

/** A map whose values are visited in the order of their keys. Visiting from a key on costs O(log n + the visited values). */
export class SortedMap<V> {
  readonly #byKey = new Map<string, Entry<V>>();
  /** Sorted by UTF-16 code units. */
  readonly #entries = new SortedList<Entry<V>>((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): V | undefined {
    return this.#byKey.get(key)?.value;
  }

  set(key: string, value: V): void {
    const existing = this.#byKey.get(key);
    if (existing !== undefined) {
      existing.value = value;
      return;
    }
    const entry = { key, value };
    this.#byKey.set(key, entry);
    this.#entries.add(entry);
  }

  delete(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    this.#byKey.delete(key);
    this.#entries.delete(entry);
  }

  *values(): Generator<V> {
    for (const entries of this.#entries.runs()) for (const { value } of entries) yield value;
  }

  /** The values whose keys come after this one. The map must not change while they are visited. */
  *after(key: string): Generator<V> {
    for (const entries of this.#entries.runs((entry) => entry.key <= key)) for (const { value } of entries) yield value;
  }
}
