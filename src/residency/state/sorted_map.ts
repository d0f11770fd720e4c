/** A map whose values are visited in the order of their keys. Visiting from a key on costs O(log n + the visited values). */
export class SortedMap<V> {
  readonly #byKey = new Map<string, V>();
  /** Sorted by UTF-16 code units. */
  readonly #keys: string[] = [];

  get size(): number {
    return this.#keys.length;
  }

  get(key: string): V | undefined {
    return this.#byKey.get(key);
  }

  set(key: string, value: V): void {
    if (!this.#byKey.has(key)) this.#keys.splice(this.#firstAfter(key), 0, key);
    this.#byKey.set(key, value);
  }

  delete(key: string): void {
    if (this.#byKey.delete(key)) this.#keys.splice(this.#firstAfter(key) - 1, 1);
  }

  values(): Generator<V> {
    return this.after('');
  }

  /** The values whose keys come after this one. The map must not change while they are visited. */
  *after(key: string): Generator<V> {
    for (let index = key === '' ? 0 : this.#firstAfter(key); index < this.#keys.length; index++) {
      const value = this.#byKey.get(this.#keys[index] ?? '');
      if (value !== undefined) yield value;
    }
  }

  /** The index of the first key after this one. */
  #firstAfter(key: string): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? '') <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
