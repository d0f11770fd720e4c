import t from 'tap';
import { ConnectionLimit } from '../../../src/sources/egress/connection_limit.js';
import { anySignal, httpSource } from '../../support/http_sources.js';
import { rawServer, responseHead } from '../../support/raw_source.js';
import { until } from '../../support/until.js';

t.test('a source has at most its number of connections open; further requests wait in order', async (t) => {
  const sockets: (() => void)[] = [];
  const server = await rawServer(t, (socket) => {
    sockets.push(() => socket.end(responseHead('200 OK', { 'Content-Length': 0 })));
  });
  const { egress } = httpSource({
    settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] },
    environment: { maxConnections: 2 },
  });
  const finished: number[] = [];
  const asked = [1, 2, 3, 4, 5].map((number) =>
    egress
      .head({ role: 'endpoint', url: new URL(`${server.origin}/${number}`) }, { signal: anySignal() })
      .then(() => finished.push(number)),
  );
  for (let answered = 0; answered < 5; answered += 1) {
    await until(() => sockets.length > answered);
    t.ok(server.open <= 2, `${server.open} connections are open`);
    sockets[answered]?.();
    await until(() => finished.length > answered);
  }
  await Promise.all(asked);
  t.strictSame(finished, [1, 2, 3, 4, 5]);
  t.equal(egress.connections.openCount, 0);
});

t.test(
  'a request that is aborted while it waits leaves the queue, and a failed one gives its connection back',
  async (t) => {
    const limit = new ConnectionLimit(1);
    const release = await limit.acquire(anySignal());
    const controller = new AbortController();
    const aborted = limit.acquire(controller.signal);
    const next = limit.acquire(anySignal());
    controller.abort(new Error('canceled'));
    await t.rejects(aborted, { message: 'canceled' });
    release();
    release();
    (await next)();
    t.equal(limit.openCount, 0, 'a second release of the same connection has no effect');

    const server = await rawServer(t, (socket) => socket.end('no HTTP\r\n'));
    const { egress } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
    const url = new URL(`${server.origin}/`);
    await t.rejects(egress.fetch({ role: 'endpoint', url }, anySignal()), { code: 'SOURCE_INVALID' });
    t.equal(egress.connections.openCount, 0);
  },
);

t.test('a JSON document is bounded, complete, plain, and has no duplicate key', async (t) => {
  const cases: readonly (readonly [string, string | RegExp, Record<string, string | number>, string])[] = [
    ['good', 'ok', {}, '{"sha":"abc","pages":[1.5,{"a":null}]}'],
    ['in chunks', 'ok', { 'Transfer-Encoding': 'chunked' }, '2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n'],
    ['a duplicate key', 'SOURCE_INVALID', {}, '{"sha":"a","sha":"b"}'],
    ['a duplicate key, escaped', 'SOURCE_INVALID', {}, '{"sha":"a","s\\u0068a":"b"}'],
    ['a duplicate key in an array', 'SOURCE_INVALID', {}, '[[{"a":1,"b":2,"a":3}]]'],
    ['no JSON', 'SOURCE_INVALID', {}, '<html>'],
    ['invalid UTF-8', 'SOURCE_INVALID', {}, '"\xff"'],
    ['nested too deeply', 'SOURCE_INVALID', {}, `${'['.repeat(40)}${']'.repeat(40)}`],
    ['too long', 'SOURCE_INVALID', {}, JSON.stringify('x'.repeat(2000))],
    ['a false length', 'SOURCE_INVALID', { 'Content-Length': 5_000_000_000 }, '[]'],
    ['compressed', 'SOURCE_INVALID', { 'Content-Encoding': 'gzip' }, '[]'],
    [
      'too long in chunks',
      'SOURCE_INVALID',
      { 'Transfer-Encoding': 'chunked' },
      `${'3e8\r\n'.concat(' '.repeat(1000), '\r\n').repeat(3)}`,
    ],
    ['part of a document', 'SOURCE_INVALID', { status: '206 Partial Content' }, '[]'],
  ];
  for (const [title, code, headers, body] of cases) {
    const { status = '200 OK', ...rest } = headers;
    const length = 'Transfer-Encoding' in rest ? {} : { 'Content-Length': Buffer.byteLength(body, 'latin1') };
    const server = await rawServer(t, (socket) => {
      socket.end(Buffer.from(responseHead(String(status), { ...length, ...rest }) + body, 'latin1'));
    });
    const { egress } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
    const asked = egress.json({ role: 'endpoint', url: new URL(`${server.origin}/`) }, 1000, { signal: anySignal() });
    const outcome = await asked.then(
      () => 'ok',
      (error: { code: string }) => error.code,
    );
    t.equal(outcome, code, title);
    t.equal(server.connections, 1, `${title}: attempts`);
  }
});
