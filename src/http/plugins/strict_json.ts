import { countKeys, countTextKeys, maxDepth } from '../../runtime/json_text.js';
import { invalidParams } from '../errors/to_worker_error.js';

/** Drops a byte order mark, which RFC 8259 §8.1 allows a parser to ignore. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses JSON (RFC 8259) without losing information. It refuses numbers other than integers within ±(2^53 − 1),
 * duplicate keys, invalid UTF-8, and keys that can change a prototype. An empty body is undefined.
 * @throws WorkerError INVALID_PARAMS
 */
export function parseJson(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  if (text === '') return undefined;
  const keys = scan(text);
  const value = parse(text);
  if (countKeys(value, checkKey) !== keys) throw invalidParams('The JSON body has a duplicate key');
  return value;
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw invalidParams('The JSON body is not valid UTF-8');
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidParams('The body is not valid JSON');
  }
}

/** Checks depth and numbers, which `JSON.parse` would round. Returns the number of keys. */
function scan(text: string): number {
  const keys = countTextKeys(text, endOfNumber);
  if (keys !== undefined) return keys;
  throw invalidParams(`The JSON body is nested too deeply: at most ${maxDepth} levels`);
}

const numberToken = /[-+.0-9eE]+/y;
const plainInteger = /^(?:0|-?[1-9][0-9]{0,15})$/;

function endOfNumber(text: string, start: number): number {
  numberToken.lastIndex = start;
  const token = numberToken.exec(text)?.[0] ?? '';
  if (!plainInteger.test(token) || !Number.isSafeInteger(Number(token))) {
    throw invalidParams('The JSON body has an invalid number: only integers within 2^53 - 1 are supported');
  }
  return start + token.length - 1;
}

/** Refuses a key that can change a prototype. */
function checkKey(key: string): void {
  if (key === '__proto__' || key === 'constructor') throw invalidParams(`The key ${key} is not allowed`);
}
