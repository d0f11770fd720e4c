import { endOfString, isKey, quote } from '../../json_text.js';
import { invalidParams } from '../errors/to_worker_error.js';

const maxDepth = 32;
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
  if (countKeys(value) !== keys) throw invalidParams('The JSON body has a duplicate key');
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
  let keys = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === quote) {
      at = endOfString(text, at);
      if (isKey(text, at + 1)) keys += 1;
    } else if (char === 0x7b || char === 0x5b) {
      depth += 1;
      if (depth > maxDepth) throw invalidParams(`The JSON body is nested too deeply: at most ${maxDepth} levels`);
    } else if (char === 0x7d || char === 0x5d) {
      depth -= 1;
    } else if (char === 0x2d || (char >= 0x30 && char <= 0x39)) {
      at = endOfNumber(text, at);
    }
  }
  return keys;
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

/** Counts the keys that `JSON.parse` kept. Of duplicate keys it keeps one. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countKeys(item), 0);
  return Object.entries(value).reduce((sum, [key, item]) => {
    if (key === '__proto__' || key === 'constructor') throw invalidParams(`The key ${key} is not allowed`);
    return sum + 1 + countKeys(item);
  }, 0);
}
