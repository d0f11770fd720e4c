const ellipsis = '…';

/** Reads trimmed JSON. `…` at the end of a string, a list or an object leaves the rest open. */
export const readTrimmed = (text: string): unknown =>
  JSON.parse(text.replaceAll(/…(?=\s*\})/g, `"${ellipsis}": 0`).replaceAll(/…(?=\s*\])/g, `"${ellipsis}"`));

/** A value trimmed where trimmed JSON is. It equals that JSON if every member shown is right, and none is added. */
export function trimmedAs(shown: unknown, value: unknown): unknown {
  if (typeof shown === 'string' && typeof value === 'string') return trimmedTextAs(shown, value);
  if (Array.isArray(shown) && Array.isArray(value)) {
    const isOpen = shown.at(-1) === ellipsis;
    const items = isOpen ? value.slice(0, shown.length - 1) : value;
    return [...items.map((item, index) => trimmedAs(shown[index], item)), ...(isOpen ? [ellipsis] : [])];
  }
  if (!isRecord(shown) || !isRecord(value)) return value;
  const isOpen = ellipsis in shown;
  const members = Object.entries(value).filter(([name]) => !isOpen || name in shown);
  const trimmed = members.map(([name, member]) => [name, trimmedAs(shown[name], member)]);
  return Object.fromEntries([...trimmed, ...(isOpen ? [[ellipsis, shown[ellipsis]]] : [])]);
}

/** The same for lines of text. */
export function trimmedLinesAs(shown: string, text: string): string {
  const lines = shown.split('\n');
  return text
    .split('\n')
    .map((line, index) => trimmedTextAs(lines[index] ?? '', line))
    .join('\n');
}

const trimmedTextAs = (shown: string, text: string): string =>
  shown.endsWith(ellipsis) && text.startsWith(shown.slice(0, -1)) ? shown : text;

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
