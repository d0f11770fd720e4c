import { createHash } from 'node:crypto';

/** A secret, and every encoding of it that the test searches for. */
export interface Needle {
  readonly name: string;
  readonly spellings: readonly Buffer[];
}

/** The bytes, in hex, and in base64 at each of the three offsets at which they may start in a longer text. */
export function needle(name: string, secret: Uint8Array): Needle {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const base64 = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    // The first and the last characters also encode bits of the neighboring bytes.
    const own = text.slice(shift === 0 ? 0 : shift + 1, -1);
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const texts = [hex, hex.toUpperCase(), ...base64, JSON.stringify([...bytes]).slice(1, -1)];
  return { name, spellings: [bytes, ...texts.map((text) => Buffer.from(text))] };
}

/** A token, and its digest, which would allow an offline search for the token. */
export const tokenNeedles = (name: string, token: string): Needle[] => [
  needle(name, Buffer.from(token)),
  needle(`digest of ${name}`, createHash('sha256').update(token).digest()),
];

/** The needles found, each with the name of its haystack. */
export function hits(places: ReadonlyMap<string, Buffer>, needles: readonly Needle[]): string[] {
  return [...places].flatMap(([place, content]) =>
    needles
      .filter(({ spellings }) => spellings.some((spelling) => content.includes(spelling)))
      .map(({ name }) => `${name} in ${place}`),
  );
}

/** Numbers in a text, in hex or decimal, that are in one of the ranges. */
export function addresses(content: Buffer, ranges: readonly (readonly [from: bigint, to: bigint])[]): string[] {
  const texts = content.toString('latin1').match(/\b(?:0x)?[0-9a-f]{9,16}\b|\b[0-9]{12,20}\b/gi) ?? [];
  return texts.filter((text) => {
    const values = [BigInt(`0x${text.replace(/^0x/i, '')}`), ...(/^[0-9]+$/.test(text) ? [BigInt(text)] : [])];
    return values.some((value) => ranges.some(([from, to]) => value >= from && value < to));
  });
}
