import fc from 'fast-check';
import { foreignNames, hostile } from './values.js';

/** One change to a JSON value: the index of a node, and the new value. */
interface Change {
  readonly how: 'replace' | 'remove' | 'add' | 'wrap' | 'quote';
  readonly where: number;
  readonly name: string;
  readonly value: unknown;
}

const change: fc.Arbitrary<Change> = fc.record({
  how: fc.constantFrom('replace', 'replace', 'remove', 'add', 'wrap', 'quote'),
  where: fc.nat({ max: 20 }),
  name: fc.constantFrom(...foreignNames),
  value: hostile,
});

/** Changes to the text that make it invalid JSON. */
const garble: fc.Arbitrary<(text: string) => string> = fc.oneof(
  fc.nat({ max: 99 }).map((part) => (text: string) => text.slice(0, Math.floor((text.length * part) / 100))),
  fc.constantFrom(
    (text: string) => `${text}${text}`,
    (text: string) => `\ufeff${text}`,
    (text: string) => ` \n${text}\t `,
    (text: string) => text.replace(/\d+/, '123456789012345678901234567890'),
    (text: string) => text.replace(/\d+/, '1e999'),
    (text: string) => text.replace(/\d+/, '0x10'),
    (text: string) => text.replace(/\d+/, '12.0'),
    (text: string) => text.replace(/"/, "'"),
    (text: string) => text.replace('{', '{"__proto__":{"reserve":true},'),
    (text: string) => text.replace('{', '{"model_ref":"m","model_ref":"n",'),
    () => 'NaN',
    () => '"',
    () => '{"a":'.repeat(2000),
    () => '\0',
  ),
);

/** Valid values as text: most unchanged or with one or two changes, some with invalid JSON. */
export const mutated = (fitting: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 6, arbitrary: fitting.map(write) },
    { weight: 10, arbitrary: fc.tuple(fitting, change).map(([value, one]) => write(apply(value, one))) },
    {
      weight: 3,
      arbitrary: fc.tuple(fitting, change, change).map(([value, one, two]) => write(apply(apply(value, one), two))),
    },
    { weight: 2, arbitrary: fc.tuple(fitting, garble).map(([value, turn]) => turn(write(value))) },
    { weight: 1, arbitrary: hostile.map(write) },
  );

const write = (value: unknown): string => JSON.stringify(value) ?? '';

/** Changes node `where` of the value, counted over the whole tree. */
function apply(value: unknown, { how, where, name, value: put }: Change): unknown {
  const nodes = count(value);
  let at = where % nodes;
  const walk = (node: unknown): unknown => {
    if (at-- === 0) {
      if (how === 'replace') return put;
      if (how === 'remove') return undefined;
      if (how === 'wrap') return [node];
      if (how === 'quote') return typeof node === 'object' ? JSON.stringify(node) : String(node);
      return typeof node === 'object' && node !== null ? withField(node, name, put) : put;
    }
    if (Array.isArray(node)) return node.map(walk).filter((one) => one !== undefined);
    if (typeof node !== 'object' || node === null) return node;
    return fromFields(Object.entries(node).map(([key, one]) => [key, walk(one)] as const));
  };
  return walk(value);
}

function count(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce((sum: number, one) => sum + count(one), 1);
}

const withField = (node: object, name: string, value: unknown): object =>
  fromFields([...Object.entries(node), [name, value]]);

/** An object that may have a member named `__proto__`. */
function fromFields(fields: readonly (readonly [string, unknown])[]): object {
  const made = {};
  for (const [name, value] of fields) {
    Object.defineProperty(made, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return made;
}
