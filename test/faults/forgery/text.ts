import type { Forge } from './forge.js';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const around = [' ', '\t', '\n', '\r\n', '\u00a0', '\ufeff', '\u200b', '=', '==', '.', 'Bearer '] as const;

const insert = (text: string, at: number, more: string): string => text.slice(0, at) + more + text.slice(at);
const at = (text: string, index: number): string => text[index] ?? '';

/** Forgeries that only change the text of a handle. */
export const textForgeries: Readonly<Record<string, Forge>> = {
  'a flipped bit of the text': ({ handle }, random) => {
    const bytes = Buffer.from(handle, 'latin1');
    const index = random.below(bytes.length);
    bytes[index] = (bytes[index] ?? 0) ^ (1 << random.below(8));
    return bytes.toString('latin1');
  },
  'a flipped bit of the decoded bytes': ({ parts }, random) => {
    const [which, ...copy] = [random.below(3), ...parts] as const;
    const bytes = Buffer.from(copy[which] ?? '', 'base64url');
    const index = random.below(bytes.length);
    bytes[index] = (bytes[index] ?? 0) ^ (1 << random.below(8));
    copy[which] = bytes.toString('base64url');
    return copy.join('.');
  },
  'a character replaced, removed, duplicated or swapped': ({ handle }, random) => {
    const index = random.below(handle.length);
    const rest = handle.slice(index + 1);
    const kinds = [
      handle.slice(0, index) + at(alphabet, random.below(64)) + rest,
      handle.slice(0, index) + rest,
      insert(handle, index, at(handle, index)),
      handle.slice(0, index) + at(rest, 0) + at(handle, index) + rest.slice(1),
    ] as const;
    return random.of(kinds);
  },
  'white space and other added characters': ({ handle }, random) =>
    insert(handle, random.of([0, handle.length, handle.indexOf('.'), random.below(handle.length)]), random.of(around)),
  'base64 that is not canonical': ({ parts }, random) => {
    const copy: string[] = [...parts];
    const which = random.below(3);
    const part = copy[which] ?? '';
    // The last character of a part may have unused bits, so another character decodes to the same bytes.
    const last = alphabet.indexOf(at(part, part.length - 1));
    const twin = at(alphabet, last ^ (1 + random.below(3)));
    const spellings = [
      part.slice(0, -1) + twin,
      `${part}${'='.repeat(1 + random.below(3))}`,
      part.replaceAll('-', '+').replaceAll('_', '/'),
      insert(part, random.below(part.length), '='),
      insert(part, random.below(part.length), '\n'),
      Buffer.from(part, 'base64url').toString('base64'),
    ] as const;
    copy[which] = random.of(spellings);
    return copy.join('.');
  },
  'a truncated, extended or empty signature': ({ parts: [header, payload, signature] }, random) => {
    const bytes = Buffer.from(signature, 'base64url');
    const kinds = [
      bytes.subarray(0, random.below(bytes.length)),
      Buffer.concat([bytes, random.bytes(1 + random.below(64))]),
      Buffer.concat([bytes, bytes]),
      Buffer.alloc(bytes.length),
      random.bytes(bytes.length),
      bytes.subarray(random.below(bytes.length)),
    ] as const;
    return `${header}.${payload}.${random.of(kinds).toString('base64url')}`;
  },
  'parts removed, duplicated or reordered': ({ parts: [header, payload, signature], handle }, random) =>
    random.of([
      `${header}.${payload}`,
      `${header}.${payload}.`,
      `.${payload}.${signature}`,
      `${header}..${signature}`,
      `${payload}.${header}.${signature}`,
      `${signature}.${payload}.${header}`,
      `${header}.${payload}.${signature}.${signature}`,
      `${handle}.${handle}`,
      JSON.stringify({ protected: header, payload, signature }),
      JSON.stringify({ payload, signatures: [{ protected: header, signature }] }),
      '.'.repeat(1 + random.below(8)),
      '',
    ]),
};
