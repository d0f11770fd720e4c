import fc from 'fast-check';

/** Values at which checks of sizes fail most often. */
const edges = [
  0n,
  1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 32n,
  2n ** 64n - 1n,
];

/** A change of a file: bytes replaced, removed, doubled, or an edge value written over 8 bytes. */
const change = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  kind: fc.constantFrom('byte', 'cut', 'remove', 'double', 'edge', 'swap'),
  byte: fc.integer({ min: 0, max: 255 }),
  length: fc.integer({ min: 1, max: 24 }),
  edge: fc.constantFrom(...edges),
});

/** A file with a change. */
export function mutate(
  file: Buffer,
  { at, kind, byte, length, edge }: typeof change extends fc.Arbitrary<infer T> ? T : never,
) {
  const start = Math.floor(at * file.length);
  const [before, after] = [file.subarray(0, start), file.subarray(Math.min(start + length, file.length))];
  const part = file.subarray(start, start + length);
  if (kind === 'cut') return Buffer.from(before);
  if (kind === 'remove') return Buffer.concat([before, after]);
  if (kind === 'double') return Buffer.concat([before, part, part, after]);
  if (kind === 'swap') return Buffer.concat([before, Buffer.from(part).reverse(), after]);
  const changed = Buffer.from(file);
  if (kind === 'byte') changed[start] = byte;
  else if (start + 8 <= changed.length) changed.writeBigUInt64LE(edge, start);
  return changed;
}

/** One to three changes of a file. */
export const mutations = fc.array(change, { minLength: 1, maxLength: 3 });
