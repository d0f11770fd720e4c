import t from 'tap';
import { keyPath } from '../../../src/sources/s3/key_path.js';

t.test('each segment of a key is encoded by RFC 3986, and empty segments stay', async (t) => {
  const cases: readonly (readonly [key: string, path: string])[] = [
    ['model.gguf', 'model.gguf'],
    ['a b/c+d.gguf', 'a%20b/c%2Bd.gguf'],
    ['/leading', '/leading'],
    ['a//b/', 'a//b/'],
    ["!'()*~-_.", '%21%27%28%29%2A~-_.'],
    ['a;b=c&d@e:f,g$h?i#j', 'a%3Bb%3Dc%26d%40e%3Af%2Cg%24h%3Fi%23j'],
    ['モデル/é', '%E3%83%A2%E3%83%87%E3%83%AB/%C3%A9'],
    ['100%', '100%25'],
    ['...', '...'],
    ['\u{1f600}'.repeat(256), '%F0%9F%98%80'.repeat(256)],
  ];
  for (const [key, path] of cases) t.equal(keyPath(key), path, key);
});

t.test('a key that a URL cannot name without ambiguity is refused with the reason', async (t) => {
  const cases: readonly (readonly [key: string, reason: RegExp])[] = [
    ['', /is empty/],
    ['.', /segment `.` or `..`/],
    ['a/../b', /segment/],
    ['a/.', /segment/],
    ['..', /segment/],
    ['a\\b', /backslash/],
    ['a%2Fb', /decode twice/],
    ['a%252e', /decode twice/],
    ['%5cx', /decode twice/],
    ['é'.repeat(513), /longer than 1024 bytes/],
    ['\ud800', /Unicode/],
  ];
  for (const [key, reason] of cases) t.throws(() => keyPath(key), { code: 'INVALID_PARAMS', message: reason }, key);
});
