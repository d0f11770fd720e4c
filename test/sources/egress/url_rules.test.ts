import fc from 'fast-check';
import t from 'tap';
import { AddressRules } from '../../../src/sources/egress/address_rules.js';
import { HostPattern } from '../../../src/sources/egress/host_pattern.js';
import { EgressPolicy } from '../../../src/sources/egress/policy.js';
import { isPersistable, loggableUrl, parseUrl } from '../../../src/sources/egress/url_rules.js';

const refused: Readonly<Record<string, readonly string[]>> = {
  'a user name or password': ['https://u@h.test/', 'https://u:p@h.test/', 'https://@h.test/', 'https://:@h.test/'],
  'a fragment': ['https://h.test/a#b', 'https://h.test/#'],
  'another scheme': ['ftp://h.test/', 'file:///etc/passwd', 'data:,x', 'javascript:1', 'ws://h.test/', 'hTTPs+x://h/'],
  'a scheme without two slashes': ['https:h.test', 'https:/h.test/', 'https:///h.test/', 'http:\\\\h.test'],
  'an encoded separator': [
    'https://h.test/models/..%2fother',
    'https://h.test/models/%2e%2e/other',
    'https://h.test/models/%2E./other',
    'https://h.test/a%5cb',
    'https://h.test/a%252fb',
    'https://h.test/a%25252Fb',
    'https://h.test/a%00',
    'https://h%2etest/',
  ],
  'a backslash': ['https://h.test/models\\..\\other', 'https:\\\\h.test/', 'https://h.test\\@evil.test/'],
  'spaces and control characters': ['https://h.test/a b', ' https://h.test/', 'https://h.test/\n', 'ht\ttps://h.test/'],
  'a dot segment with a parameter': ['https://h.test/models/..;/other', 'https://h.test/models/.;x/other'],
  'a path that is not UTF-8': ['https://h.test/%ff', 'https://h.test/%c0%ae', 'https://h.test/%'],
  'a host that ends in a dot': ['https://h.test./'],
  'too many characters': [`https://h.test/${'a'.repeat(9000)}`],
  'no URL': ['', 'model.gguf', '//h.test/', 'https://', 'https://[::1/', 'https://h.test:99999/'],
};

t.test('a URL is refused in each spelling that another parser could read differently', async (t) => {
  for (const [reason, urls] of Object.entries(refused)) {
    for (const url of urls)
      t.throws(() => parseUrl(url, 'INVALID_PARAMS'), { code: 'INVALID_PARAMS' }, `${reason}: ${url}`);
  }
});

t.test('ordinary URLs are accepted', async (t) => {
  for (const url of [
    'https://h.test/org/name/resolve/main/model-00001-of-00002.safetensors',
    'https://h.test/a%20b/%C3%A4.gguf?X-Amz-Signature=a%2Fb&x=1',
    'https://xn--bcher-kva.test:8443/x',
    'HTTPS://H.TEST/x',
    'http://[2606:4700::1]/x',
  ]) {
    t.equal(parseUrl(url, 'INVALID_PARAMS').href, new URL(url).href);
  }
});

t.test('a relative redirect is resolved, and checked in the same way', async (t) => {
  const base = new URL('https://h.test/models/a?x=1');
  t.equal(parseUrl('/models/b@c', 'SOURCE_INVALID', base).href, 'https://h.test/models/b@c');
  t.equal(parseUrl('b?y', 'SOURCE_INVALID', base).href, 'https://h.test/models/b?y');
  t.equal(parseUrl('../x', 'SOURCE_INVALID', base).pathname, '/x');
  t.equal(parseUrl('//other.test/x', 'SOURCE_INVALID', base).host, 'other.test');
  for (const url of [
    '//u@other.test/',
    '///other.test/',
    '\\\\other.test',
    'https:/x',
    '/a%2e%2e/b',
    '/a#b',
    'mailto:x',
  ]) {
    t.throws(() => parseUrl(url, 'SOURCE_INVALID', base), { code: 'SOURCE_INVALID' }, url);
  }
});

t.test('logs show a URL without its query, and a manifest never has one', async (t) => {
  const url = new URL('https://h.test/a/b?signature=secret');
  t.equal(loggableUrl(url), 'https://h.test/a/b');
  t.equal(isPersistable(url), false);
  t.equal(isPersistable(new URL('https://h.test/a/b')), true);
});

const policyOf = (prefixes: readonly string[], redirectHosts: readonly string[] = []) =>
  new EgressPolicy({
    source: 'test',
    prefixes: prefixes.map((prefix) => new URL(prefix)),
    redirectHosts: redirectHosts.map((text) => new HostPattern(text)),
    realmHosts: [],
    addresses: new AddressRules(),
  });

t.test('a prefix covers what is below it on the same origin, and nothing else', async (t) => {
  const policy = policyOf(['https://h.test/models/']);
  t.ok(policy.covers(new URL('https://h.test/models/a')));
  for (const url of [
    'https://h.test/models',
    'https://h.test/modelsx/a',
    'https://h.test/models/../other',
    'https://h.test/Models/a',
    'http://h.test/models/a',
    'https://h.test:8443/models/a',
    'https://h.test.evil.test/models/a',
    'https://evil.test/models/a',
  ]) {
    t.notOk(policy.covers(new URL(url)), url);
  }
});

t.test('a redirect within the origin must keep the prefix', async (t) => {
  const policy = policyOf(['https://h.test/models/'], ['h.test', 'cdn.test']);
  const from = new URL('https://h.test/models/a');
  policy.requireRedirect(from, new URL('https://h.test/models/b'));
  policy.requireRedirect(from, new URL('https://cdn.test/anything'));
  for (const url of ['https://h.test/other', 'https://h.test/', 'https://cdn.test:444/x', 'http://cdn.test/x']) {
    t.throws(() => policy.requireRedirect(from, new URL(url)), { code: 'SOURCE_FORBIDDEN' }, url);
  }
});

t.test('a host pattern matches whole labels and the port', async (t) => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['*.cdn.hf.co', 'https://us.aws.cdn.hf.co/', true],
    ['*.cdn.hf.co', 'https://cdn.hf.co/', false],
    ['*.cdn.hf.co', 'https://evilcdn.hf.co/', false],
    ['*.cdn.hf.co', 'https://a.cdn.hf.co.evil.test/', false],
    ['*.cdn.hf.co', 'https://a.cdnxhf.co/', false],
    ['cdn-lfs*.huggingface.co', 'https://cdn-lfs-us-1.huggingface.co/', true],
    ['cdn-lfs*.huggingface.co', 'https://cdn-lfs.evil.huggingface.co/', false],
    ['cdn.test', 'https://cdn.test:8443/', false],
    ['cdn.test:8443', 'https://cdn.test:8443/', true],
    ['CDN.test', 'https://cdn.test/', true],
    ['cdn.test', 'https://cdn.test./', false],
    ['[::1]:80', 'https://[::1]:80/', true],
  ];
  for (const [pattern, url, matches] of cases)
    t.equal(new HostPattern(pattern).matches(new URL(url)), matches, `${pattern} ${url}`);
});

const pieces = fc.constantFrom(
  ...[
    'models',
    'other',
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '\\',
    '/',
    '//',
    ';',
    '@',
    ':',
    '?',
    '#',
    '%25',
    '%252f',
  ],
  ...['evil.test', 'h.test', ' ', '\t', '\n', '\u0000', 'ä', '。', '%', 'https:', '1'],
);
const texts = fc.oneof(
  fc.array(pieces, { maxLength: 12 }).map((parts) => `https://h.test/models/${parts.join('')}`),
  fc.array(pieces, { maxLength: 12 }).map((parts) => `https://h.test${parts.join('')}`),
  fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join('')),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  fc.string({ unit: 'binary', maxLength: 60 }),
);

t.test(
  'for any text: an accepted URL keeps its prefix in each reading of its path, however often it is decoded',
  async () => {
    const policy = policyOf(['https://h.test/models/']);
    fc.assert(
      fc.property(texts, (text) => {
        let url: URL;
        try {
          url = parseUrl(text, 'INVALID_PARAMS');
          policy.requireFirst(url);
        } catch (error) {
          return error instanceof Error && error.name === 'WorkerError';
        }
        let path = url.pathname;
        for (let decoded = 0; decoded < 4; decoded += 1) {
          const segments = path.replaceAll('\\', '/').split('/');
          if (!path.startsWith('/models/') || segments.some((segment) => /^\.{1,2}(?:;|$)/.test(segment))) return false;
          try {
            path = decodeURIComponent(path);
          } catch {
            break;
          }
        }
        return url.host === 'h.test' && url.username === '' && url.hash === '' && new URL(url.href).href === url.href;
      }),
      { numRuns: 500 },
    );
  },
);
