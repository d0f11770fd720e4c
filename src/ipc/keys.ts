import { WorkerError } from '../errors.js';
import { type Digest, parseDigest } from '../seal/digest.js';
import { isVisibleText } from '../seal/visible_text.js';
import type { Fields } from './frame.js';

/** The type of a key's value. `parse` returns undefined, or throws, if the text is invalid. */
export interface KeyType<T> {
  readonly description: string;
  readonly parse: (text: string, key: string) => T | undefined;
}

export type Keys = Readonly<Record<string, KeyType<unknown>>>;

/** The values of keys. */
export type ValuesOf<K extends Keys> = { readonly [N in keyof K]: K[N] extends KeyType<infer T> ? T : never };

export const visibleText = (maxLength: number): KeyType<string> => ({
  description: `text of up to ${maxLength} visible characters in Unicode NFC`,
  parse: (text) => (text.length <= maxLength && isVisibleText(text) ? text : undefined),
});

export const matching = (pattern: RegExp, description: string): KeyType<string> => ({
  description,
  parse: (text) => (pattern.test(text) ? text : undefined),
});

export const integer = (minimum: number, maximum: number): KeyType<number> => ({
  description: `an integer from ${minimum} to ${maximum}`,
  parse: (text) => {
    const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
    return value >= minimum && value <= maximum ? value : undefined;
  },
});

export const digest: KeyType<Digest> = { description: 'a SHA-256 digest', parse: parseDigest };

/**
 * Reads the keys of a request. Unknown and repeated keys are refused. An empty value is the same as a missing key.
 * @throws WorkerError INVALID_PARAMS
 */
export function readKeys<R extends Keys, O extends Keys>(
  fields: Fields,
  required: R,
  optional: O,
): ValuesOf<R> & Partial<ValuesOf<O>> {
  const types = new Map(Object.entries({ ...optional, ...required }));
  const texts = new Map<string, string>();
  for (const [key, text] of fields) {
    if (!types.has(key)) throw invalid(`Unknown key ${JSON.stringify(key.slice(0, 64))}`);
    if (texts.has(key)) throw invalid(`Repeated key ${key}`);
    texts.set(key, text);
  }
  const values: Record<string, unknown> = {};
  for (const [key, text] of texts) if (text !== '') values[key] = readValue(key, text, types.get(key));
  const missing = Object.keys(required).find((key) => values[key] === undefined);
  if (missing !== undefined) throw invalid(`Missing key ${missing}`);
  // The values come from the same tables as the type.
  return values as ValuesOf<R> & Partial<ValuesOf<O>>;
}

function readValue(key: string, text: string, type: KeyType<unknown> | undefined): unknown {
  const value = type?.parse(text, key);
  if (value === undefined) throw invalid(`${key} must be ${type?.description}`);
  return value;
}

const invalid = (message: string): WorkerError => new WorkerError('INVALID_PARAMS', message);
