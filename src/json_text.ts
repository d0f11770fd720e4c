/** The quotation mark of JSON strings, as a character code. */
export const quote = 0x22;
const backslash = 0x5c;

/** The index of the closing quote, or the end of the text: `JSON.parse` refuses an unclosed string. */
export function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1;
  return at;
}

/** Whether a colon follows the string that ends before `after`. */
export function isKey(text: string, after: number): boolean {
  let at = after;
  while (' \t\r\n'.includes(text[at] ?? ':')) at += 1;
  return text[at] === ':';
}
