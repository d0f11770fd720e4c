/** Deeper text than any request, source or settings file needs. */
export const maxDepth = 32;

const quote = 0x22;
const backslash = 0x5c;
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const minus = 0x2d;
const isDigit = (char: number): boolean => char >= 0x30 && char <= 0x39;

/**
 * Counts the keys in the text of JSON, duplicates included. Undefined if it is nested deeper than `maxDepth`.
 * `endOfNumber` gets the index of the first character of each number, and returns that of the last. Its time is linear in
 * the length. `JSON.parse` decides whether the text is valid.
 */
export function countTextKeys(text: string, endOfNumber?: (text: string, start: number) => number): number | undefined {
  let keys = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === quote) {
      at = endOfString(text, at);
      if (isKey(text, at + 1)) keys += 1;
    } else if (char === openBrace || char === openBracket) {
      depth += 1;
      if (depth > maxDepth) return undefined;
    } else if (char === closeBrace || char === closeBracket) depth -= 1;
    else if (endOfNumber !== undefined && (char === minus || isDigit(char))) at = endOfNumber(text, at);
  }
  return keys;
}

/** Counts the keys of a value that `JSON.parse` returned. Of duplicate keys it kept one. `check` gets each key. */
export function countKeys(value: unknown, check?: (key: string) => void): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countKeys(item, check), 0);
  if (check !== undefined) for (const key of Object.keys(value)) check(key);
  const items: unknown[] = Object.values(value);
  return items.reduce<number>((sum, item) => sum + countKeys(item, check), items.length);
}

/** The index of the closing quote, or the end of the text: `JSON.parse` refuses an unclosed string. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1;
  return at;
}

/** Whether a colon follows the string that ends before `after`. */
function isKey(text: string, after: number): boolean {
  let at = after;
  while (' \t\r\n'.includes(text[at] ?? ':')) at += 1;
  return text[at] === ':';
}
