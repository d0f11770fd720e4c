import type { Hash } from 'node:crypto';
import { nextSlice } from '../state/time_slices.js';

/** A list whose items are serialized one by one, when they are needed. */
export class Items {
  readonly json: Iterable<string>;

  private constructor(json: Iterable<string>) {
    this.json = json;
  }

  static of<T>(values: Iterable<T>, serialize: (value: T) => string): Items {
    return new Items(texts(values, serialize));
  }
}

/** The fields of an object. A long list can be given as items. */
export type Fields<T> = { readonly [K in keyof T]: T[K] | Items };

/** The key of values that are immutable themselves. */
export const itself = <T extends object>(value: T): T => value;

/**
 * Caches the text of a value for as long as its immutable key exists, and until `versionOf` changes: what the text has that
 * the key does not.
 */
export function cached<T, Rest extends readonly unknown[]>(
  keyOf: (value: T) => object,
  serialize: (value: T, ...rest: Rest) => string,
  versionOf: (value: T) => unknown = () => undefined,
): (value: T, ...rest: Rest) => string {
  const cache = new WeakMap<object, { readonly version: unknown; readonly text: string }>();
  return (value, ...rest) => {
    const key = keyOf(value);
    const version = versionOf(value);
    const known = cache.get(key);
    if (known !== undefined && known.version === version) return known.text;
    const text = serialize(value, ...rest);
    cache.set(key, { version, text });
    return text;
  };
}

/** The JSON of each value, made when it is read. */
export function* texts<T>(values: Iterable<T>, serialize: (value: T) => string): Generator<string> {
  for (const value of values) yield serialize(value);
}

/** The JSON of an object, in pieces. */
export function* jsonPieces<T extends object>(fields: Fields<T>): Generator<string> {
  let separator = '{';
  for (const [name, value] of Object.entries(fields)) {
    yield `${separator}${JSON.stringify(name)}:`;
    separator = ',';
    if (value instanceof Items) yield* listPieces(value);
    else yield JSON.stringify(value);
  }
  yield '}';
}

function* listPieces({ json }: Items): Generator<string> {
  let separator = '[';
  for (const item of json) {
    // Not concatenated, which would copy the item.
    yield separator;
    yield item;
    separator = ',';
  }
  yield separator === '[' ? '[]' : ']';
}

/** Pieces after which the time is checked. */
const checkedPieces = 16;

/** Encodes a long text in time slices, and updates `hash` with it. */
export async function encodeInSlices(pieces: Iterable<string>, hash?: Hash): Promise<Buffer> {
  let endMs = await nextSlice();
  const all: string[] = [];
  let length = 0;
  for (const text of pieces) {
    length += Buffer.byteLength(text);
    if (all.push(text) % checkedPieces === 0 && performance.now() >= endMs) endMs = await nextSlice();
  }
  const bytes = Buffer.allocUnsafe(length);
  for (let [index, start, end] = [0, 0, 0]; index < all.length; start = end) {
    for (const text of all.slice(index, index + checkedPieces)) end += bytes.write(text, end);
    index += checkedPieces;
    hash?.update(bytes.subarray(start, end));
    if (performance.now() >= endMs) endMs = await nextSlice();
  }
  return bytes;
}
