import { countKeys, countTextKeys } from '../../runtime/json_text.js';

/** More than any page of a list has. A key takes longer than other text: these take 0.2 s of the event loop. */
const maxPageKeys = 131_072;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses JSON (RFC 8259), and refuses duplicate keys, invalid UTF-8 and deep nesting. Of a duplicate key two parsers can
 * take different values. Returns undefined for invalid text, and for more than `maxKeys` keys. Its time is linear in the length.
 */
export function parseUniqueJson(bytes: Uint8Array, maxKeys = maxPageKeys): unknown {
  try {
    const text = utf8.decode(bytes);
    const keys = countTextKeys(text);
    if (keys === undefined || keys > maxKeys) return undefined;
    const value: unknown = JSON.parse(text);
    return countKeys(value) === keys ? value : undefined;
  } catch {
    return undefined;
  }
}
