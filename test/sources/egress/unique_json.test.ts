import t from 'tap';
import { parseUniqueJson } from '../../../src/sources/egress/unique_json.js';

const parse = (text: string): unknown => parseUniqueJson(Buffer.from(text));
const objectOf = (keys: number): string => `{${Array.from({ length: keys }, (_, index) => `"${index}":0`).join(',')}}`;

t.test('JSON with as many keys as a large list is parsed, and one with more is refused', async (t) => {
  t.type(parse(objectOf(131_072)), 'object');
  t.equal(parse(objectOf(131_073)), undefined);
});

t.test('duplicate keys in every spelling, deep nesting and invalid UTF-8 are refused', async (t) => {
  t.same(parse('{"a":1,"b":[{"a":2}]}'), { a: 1, b: [{ a: 2 }] });
  for (const text of ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '['.repeat(2_000_000), '{"a":', ''])
    t.equal(parse(text), undefined, text.slice(0, 20));
  t.equal(parseUniqueJson(Buffer.from([0x22, 0xff, 0x22])), undefined);
});
