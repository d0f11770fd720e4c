import fc from 'fast-check';
import t from 'tap';
import { parseChallenges } from '../../../src/sources/oci/challenge.js';

const plain = (text: string) =>
  parseChallenges(text)?.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

t.test('challenges of registries are parsed', async (t) => {
  t.strictSame(plain('Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull"'), [
    ['bearer', { realm: 'https://auth.test/token', service: 'registry.test', scope: 'repository:a/b:pull' }],
  ]);
  t.strictSame(plain('Basic realm="Registry Realm"'), [['basic', { realm: 'Registry Realm' }]]);
  t.strictSame(plain('BASIC Realm=lab'), [['basic', { realm: 'lab' }]]);
});

t.test('quoted strings, spaces and empty elements are read as RFC 9110 says', async (t) => {
  t.strictSame(plain('Bearer realm="a\\"b\\\\c, d=e", x = y'), [['bearer', { realm: 'a"b\\c, d=e', x: 'y' }]]);
  t.strictSame(plain(' , Bearer\ta=1 ,, b=2 , '), [['bearer', { a: '1', b: '2' }]]);
  t.strictSame(plain('Bearer realm=""'), [['bearer', { realm: '' }]]);
  t.strictSame(plain('Bearer realm="ü"'), [['bearer', { realm: 'ü' }]]);
});

t.test('several challenges are separated', async (t) => {
  t.strictSame(plain('Negotiate, Basic realm="x", charset="UTF-8", Bearer realm="y"'), [
    ['negotiate', {}],
    ['basic', { realm: 'x', charset: 'UTF-8' }],
    ['bearer', { realm: 'y' }],
  ]);
  t.strictSame(plain('Negotiate abc/+==, Bearer a=1'), [
    ['negotiate', {}],
    ['bearer', { a: '1' }],
  ]);
  t.strictSame(plain('Negotiate abc='), [['negotiate', {}]]);
  t.strictSame(plain(''), []);
});

t.test('malformed text and a parameter that occurs twice are refused', async (t) => {
  for (const text of [
    'Bearer realm="open',
    'Bearer realm="a" service="b"',
    'Bearer realm="a"x',
    'Bearer realm="a",realm="b"',
    'Bearer realm=a,REALM=b',
    'Bearer realm="a\nb"',
    'Bearer realm="a\\',
    'Bearer =a',
    'Bearer realm=a/b/c',
    '"Bearer" realm="a"',
    'Bearer realm="a"; service="b"',
    'Bearer,realm=a',
  ]) {
    t.equal(parseChallenges(text), undefined, text);
  }
});

t.test('any text is parsed in linear time and without an exception', async () => {
  const parts = fc.constantFrom('Bearer', ' ', ',', '=', '"', '\\', 'a', '\t', 'realm="x"', '/', '==');
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 30 }), (list) => {
      parseChallenges(list.join(''));
    }),
  );
  for (const part of ['a ', 'a=', ',', ' ', '"', '\\"', 'a="', 'a=1,', '\t,']) {
    parseChallenges(part.repeat(16_384 / part.length));
    parseChallenges(`Bearer ${part.repeat(16_384 / part.length)}`);
    parseChallenges(`Bearer a="${part.repeat(16_384 / part.length)}`);
  }
});
