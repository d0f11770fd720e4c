import { gzipSync } from 'node:zlib';
import t from 'tap';
import { ResponseHead } from '../../../src/sources/egress/response_head.js';
import { sidecarDigest } from '../../../src/sources/http/sidecar.js';
import { anySignal, httpSource, lookupOf, MemorySink } from '../../support/http_sources.js';
import { partialHead, rawServer, responseHead, servePartial } from '../../support/raw_source.js';

// The mistakes that other programs made with remote sources. Each title names the class, and the known cases of it.

const content = Buffer.alloc(400_000, 'weights ');

t.test(
  'a digest that is used as a path (CVE-2024-37032, CVE-2026-7020): only 64 hex digits are a digest',
  async (t) => {
    for (const text of [
      '../../../etc/passwd  model',
      `${'a'.repeat(63)}/  model`,
      `sha256:${'a'.repeat(64)}  model`,
      `${'a'.repeat(64)}/../x  model`,
      `sha256-${'a'.repeat(57)}  model`,
      `${'a'.repeat(64)}\0  model`,
    ]) {
      t.equal(sidecarDigest(text, 'model'), undefined, text);
    }
    t.equal(sidecarDigest(`${'A'.repeat(64)}  model`, 'model'), `sha256:${'a'.repeat(64)}`);
  },
);

t.test(
  'credentials for any token server that a registry names (CVE-2025-51471): the server must be allowed',
  async (t) => {
    const thief = await rawServer(t, () => undefined);
    const { egress } = httpSource({
      settings: { prefixes: ['http://registry.test/'], addresses: ['127.0.0.1'] },
      realmHosts: ['auth.test'],
      environment: { lookup: lookupOf({}) },
    });
    for (const realm of [
      `${thief.origin}/token`,
      'https://auth.test.evil.test/token',
      'https://auth.test@evil.test/token',
      'https://evil.test/auth.test',
      'https://auth.test:8443/token',
    ]) {
      t.throws(() => egress.realm(realm), { code: /^SOURCE_(FORBIDDEN|INVALID)$/ }, realm);
    }
    t.equal(egress.realm('https://auth.test/token').host, 'auth.test');
    t.equal(thief.connections, 0);
  },
);

t.test(
  'an internal token server, refused on one path and not on another (CVE-2026-33990): each hop is checked',
  async (t) => {
    const internal = await rawServer(t, () => undefined, '127.0.0.3');
    const { egress, open } = httpSource({
      settings: {
        prefixes: ['http://registry.test/'],
        addresses: ['127.0.0.1'],
        redirect_hosts: [`inside.test:${internal.port}`],
      },
      realmHosts: [`inside.test:${internal.port}`],
      environment: { lookup: lookupOf({ 'inside.test': ['127.0.0.3'] }) },
    });
    const url = egress.realm(`http://inside.test:${internal.port}/token`);
    for (const method of ['GET', 'POST'] as const) {
      await t.rejects(egress.fetch({ role: 'realm', url, method }, anySignal()), { code: 'SOURCE_FORBIDDEN' }, method);
      await t.rejects(egress.json({ role: 'realm', url, method }, 1000, { signal: anySignal() }), {
        code: 'SOURCE_FORBIDDEN',
      });
    }
    await t.rejects(open(url.href), { code: 'SOURCE_FORBIDDEN' });
    t.equal(internal.connections, 0);
  },
);

t.test(
  'two URL parsers that disagree (CVE-2026-24779): the host that is checked is the host that gets the request',
  async (t) => {
    const internal = await rawServer(t, () => undefined);
    const allowed = await rawServer(t, (socket, request) => servePartial(socket, content, request), '127.0.0.2');
    const { open } = httpSource({
      settings: { prefixes: [`http://own.test:${allowed.port}/`], addresses: ['127.0.0.2'] },
      environment: { lookup: lookupOf({ 'own.test': ['127.0.0.2'] }) },
    });
    for (const url of [
      `http://127.0.0.1:${internal.port}\\@own.test:${allowed.port}/x`,
      `http://own.test:${allowed.port}\\@127.0.0.1:${internal.port}/x`,
      `http://own.test:${allowed.port}@127.0.0.1:${internal.port}/x`,
      `http://127.0.0.1:${internal.port}#@own.test:${allowed.port}/x`,
      `http://127.0.0.1:${internal.port}?@own.test:${allowed.port}/x`,
      `http://own.test:${allowed.port}\t@127.0.0.1:${internal.port}/x`,
    ]) {
      await t.rejects(open(url), { code: /^(SOURCE_FORBIDDEN|INVALID_PARAMS)$/ }, url);
    }
    t.strictSame([internal.connections, allowed.connections], [0, 0]);
    await open(`http://own.test:${allowed.port}/x?y`);
    t.equal(allowed.requests[0]?.headers.get('host'), `own.test:${allowed.port}`);
  },
);

t.test(
  'a URL of a request that reaches internal services (CVE-2025-54381, CVE-2024-6095): only prefixes are reached',
  async (t) => {
    const internal = await rawServer(t, () => undefined);
    const { open } = httpSource({
      settings: { prefixes: ['https://models.test/a/'] },
      environment: { lookup: lookupOf({}) },
    });
    for (const url of [
      `${internal.origin}/`,
      'http://169.254.169.254/latest/meta-data/',
      'file:///etc/passwd',
      'gopher://x/',
    ]) {
      await t.rejects(open(url), { code: /^(SOURCE_FORBIDDEN|INVALID_PARAMS)$/ }, url);
    }
    t.equal(internal.connections, 0);
  },
);

t.test('a compressed body that expands without bound (CVE-2024-12886): nothing is ever decompressed', async (t) => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  const server = await rawServer(t, (socket) => {
    socket.write(responseHead('200 OK', { 'Content-Encoding': 'gzip', 'Content-Length': bomb.length }));
    socket.end(bomb);
  });
  const { open, egress } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  const before = process.memoryUsage().rss;
  const url = new URL(`${server.origin}/list`);
  await t.rejects(egress.json({ role: 'endpoint', url }, 1 << 20, { signal: anySignal() }), { code: 'SOURCE_INVALID' });
  await t.rejects(open(`${server.origin}/model?x`), { code: 'SOURCE_INVALID' });
  t.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024, 'the memory of the process did not grow with the body');
});

t.test('the whole object, written into the middle of a file: a status 200 is accepted at offset 0 alone', async (t) => {
  const server = await rawServer(t, (socket, request) => {
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    const [first] = request.range ?? [0];
    if (first > 0) socket.write(responseHead('200 OK', { 'Content-Length': content.length, ETag: '"v1"' }));
    else socket.write(partialHead(content, request));
    if (first > 0) socket.end(content);
    else socket.end(content.subarray(0, 300_000));
  });
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  const source = await open(`${server.origin}/model?x`);
  const sink = new MemorySink();
  const copied = source.copyTo(sink, { offset: 0, length: content.length }, { signal: anySignal() });
  await t.rejects(copied, { code: 'SOURCE_INVALID' });
  t.ok(sink.content.equals(content.subarray(0, 300_000)));
});

t.test('sizes that wrap or round: a length beyond 2^53 is refused in each header', async (t) => {
  const huge = ['9007199254740992', '18446744073709551616', '99999999999999999999', '-1', '1e3', '0x10', ' 5', '5, 5'];
  for (const length of huge) {
    t.throws(() => new ResponseHead(200, ['Content-Length', length]).contentLength, { code: 'SOURCE_INVALID' }, length);
    const server = await rawServer(t, (socket, request) =>
      servePartial(socket, content, request, { headers: { 'Content-Range': `bytes 0-0/${length}` } }),
    );
    const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
    await t.rejects(open(`${server.origin}/model?x`), { code: 'SOURCE_INVALID' }, length);
  }
});
