import fc from 'fast-check';
import t from 'tap';
import { parseJson } from '../../../src/http/plugins/strict_json.js';

const parse = (text: string) => parseJson(Buffer.from(text));
const invalid = { code: 'INVALID_PARAMS' };

t.test('JSON with only integers is parsed as JSON.parse does', async (t) => {
  const leaf = fc.oneof(fc.maxSafeInteger(), fc.string({ unit: 'binary' }), fc.boolean(), fc.constant(null));
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(
        fc.string().filter((key) => key !== '__proto__' && key !== 'constructor'),
        tie('tree'),
        { maxKeys: 4 },
      ),
    ),
  }));
  fc.assert(
    fc.property(tree, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      t.same(parse(text), JSON.parse(text));
    }),
  );
});

t.test('a number other than an integer within 2^53 - 1 is refused', async (t) => {
  for (const number of [
    '1.0',
    '1e3',
    '1E3',
    '-0',
    '0.5',
    '9007199254740992',
    '9007199254740993',
    '1e400',
    '01',
    '+1',
    '-',
  ]) {
    t.throws(() => parse(`{"a":${number}}`), invalid, number);
  }
  t.same(parse('[9007199254740991,-9007199254740991,0]'), [9007199254740991, -9007199254740991, 0]);
  t.same(parse('{"1.5":"2.5e9"}'), { '1.5': '2.5e9' }, 'strings are not checked');
});

t.test('a duplicate key is refused', async (t) => {
  t.throws(() => parse('{"a":1,"a":1}'), invalid);
  t.throws(() => parse('[{"a":{"b":1,"\\u0062":2}}]'), invalid, 'an escaped duplicate');
  t.same(parse('{"a":{"a":1},"b":":"}'), { a: { a: 1 }, b: ':' });
});

t.test('a key that can change a prototype is refused', async (t) => {
  t.throws(() => parse('{"__proto__":{"x":1}}'), invalid);
  t.throws(() => parse('{"a":{"constructor":{"prototype":{}}}}'), invalid);
  t.throws(() => parse('{"\\u005f_proto__":1}'), invalid);
});

t.test('invalid JSON is refused', async (t) => {
  for (const text of ['{', '"', '"\\', '{"a"', 'nul', '[1,]', "{'a':1}", '{}{}', '[NaN]', '"\n"']) {
    t.throws(() => parse(text), invalid, JSON.stringify(text));
  }
  t.throws(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22)), invalid, 'not UTF-8');
  t.throws(() => parse('['.repeat(33) + ']'.repeat(33)), invalid, 'too deep');
  t.throws(() => parse('['.repeat(500_000)), invalid, 'far too deep');
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        parseJson(bytes);
      } catch (error) {
        t.match(error, invalid);
      }
    }),
  );
});

t.test('an empty body is undefined', async (t) => {
  t.equal(parseJson(new Uint8Array()), undefined);
});

t.test('a byte order mark before the JSON is ignored', async (t) => {
  const mark = '\u{feff}';
  t.same(parse(`${mark}{"a":1}`), { a: 1 });
  t.same(parse(`{"a":"${mark}"}`), { a: mark }, 'inside a string it stays');
  t.equal(parse(mark), undefined, 'alone it is an empty body');
  t.throws(() => parse(`${mark}${mark}{}`), invalid);
});
