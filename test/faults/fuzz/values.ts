import fc from 'fast-check';
import { resolve, type Schema } from './document.js';

/** Names that exist in the worker under test, so that not every request is answered 404. */
const known: Readonly<Record<string, readonly string[]>> = {
  shard_id: ['a', 'b', 'c', 'gone'],
  model_ref: ['m', 'n', 'hf:org/name@rev'],
  path: ['one', 'two', 'none', '../one', 'directory', 'link'],
  reservation_id: ['$0', '$1', '$2', 'none'],
  id: ['$0', '$1', '$2', 'none'],
  handle: ['$handle', 'e30.e30.e30', ''],
};

/** Valid values of a schema, including its limits. */
export function fitting(given: Schema, name = ''): fc.Arbitrary<unknown> {
  const schema = resolve(given);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.oneOf !== undefined) {
    const [first = {}, ...others] = schema.oneOf;
    const forms = others.map((form) => ({ weight: 1, arbitrary: fitting(form, name) }));
    return fc.oneof({ weight: 10, arbitrary: fitting(first, name) }, ...forms);
  }
  const [type] = [schema.type].flat();
  if (type === 'object') return object(schema);
  if (type === 'boolean') return fc.boolean();
  if (type === 'integer') return integer(schema);
  if (type === 'array') {
    const minLength = schema.minItems ?? 0;
    return fc.array(fitting(schema.items ?? {}, name), { minLength, maxLength: minLength + 2 });
  }
  return text(schema.pattern ?? `^[ -~\u00c0-\u00ff]{1,${schema.maxLength ?? 20}}$`, name);
}

function object(schema: Schema): fc.Arbitrary<unknown> {
  const { properties = {}, required = [] } = schema;
  const fields = Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, fitting(field, name)]));
  return fc.record(fields, { requiredKeys: [...required] });
}

function integer({ minimum = 0, maximum = 1000 }: Schema): fc.Arbitrary<number> {
  const near = [minimum, minimum + 1, 4096, 2 ** 21, maximum].filter((value) => value >= minimum && value <= maximum);
  return fc.oneof(fc.constantFrom(...near), fc.integer({ min: minimum, max: Math.min(maximum, minimum + 5) }));
}

/** Strings of each pattern, generated once, because generation is slow. */
function text(pattern: string, name: string): fc.Arbitrary<string> {
  // fast-check does not support Unicode property classes.
  const drawable = new RegExp(pattern.replaceAll('\\p{Cc}\\p{Cs}', '\\0-\\x1f\\x7f\\ud800-\\udfff'), 'u');
  const drawn = fc.sample(fc.stringMatching(drawable, { size: 'small' }), { numRuns: 30, seed: 1 });
  const any = fc.constantFrom(...drawn);
  const names = known[name];
  return names === undefined ? any : fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...names) }, any);
}

const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const bounds = [0, -0, -1, 1, 1.5, 1e-9, 1e308, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 2 ** 63, 2 ** 64];
const words = [
  '',
  ' ',
  '0',
  '12',
  'true',
  'null',
  'NaN',
  '__proto__',
  'constructor',
  'toString',
  '\0',
  '\u2028',
  '\u202e',
  '\ufeff',
  '\ud800',
  '😀'.repeat(9),
  '../../etc/passwd',
  '%00',
  "' or 1=1",
  'x'.repeat(9000),
];

/** JSON values that no schema permits, or only by chance. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(...bounds),
  fc.constantFrom(...words),
  fc.constantFrom(null, true, false, [], {}, [[]], [{}], { bytes: {} }, deep(20), deep(300)),
  fc.constantFrom(
    JSON.parse('{"__proto__":{"reserve":true}}'),
    JSON.parse('{"constructor":{"prototype":{"x":1}}}'),
    Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, index])),
  ),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.double(),
);

/** Member names that a body may not have. */
export const foreignNames: readonly string[] = ['__proto__', 'constructor', 'hasOwnProperty', 'x', '', 'Reserve', '\0'];
