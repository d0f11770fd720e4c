import { endOfString, isKey, quote } from '../../json_text.js';

/** Deeper text than any source or settings file needs. */
const maxDepth = 32;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses JSON (RFC 8259), and refuses duplicate keys, invalid UTF-8 and deep nesting. Of a duplicate key two parsers can
 * take different values. Returns undefined for invalid text, and for more keys than `maxKeys`, because a key takes longer
 * than other text. Its time is linear in the length.
 */
export function parseUniqueJson(bytes: Uint8Array, maxKeys = Number.POSITIVE_INFINITY): unknown {
  try {
    const text = utf8.decode(bytes);
    const keys = keysOf(text);
    if (keys === undefined || keys > maxKeys) return undefined;
    const value: unknown = JSON.parse(text);
    return countKeys(value) === keys ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The number of keys in the text; undefined if it is nested too deeply. */
function keysOf(text: string): number | undefined {
  let keys = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === quote) {
      at = endOfString(text, at);
      if (isKey(text, at + 1)) keys += 1;
    } else if (char === 0x7b || char === 0x5b) {
      depth += 1;
      if (depth > maxDepth) return undefined;
    } else if (char === 0x7d || char === 0x5d) depth -= 1;
  }
  return keys;
}

/** The number of keys that `JSON.parse` kept: one of each set of duplicates. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const items: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  const own = Array.isArray(value) ? 0 : items.length;
  return items.reduce<number>((sum, item) => sum + countKeys(item), own);
}
