import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { readRange } from '../../../src/sources/read_range.js';
import { anySignal, httpSource } from '../../support/http_sources.js';
import { partialHead, type RawHandler, rawServer, responseHead, servePartial } from '../../support/raw_source.js';
import { until } from '../../support/until.js';

const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, at) => (at * 31) & 0xff));
const hash = createHash('sha256').update(content).digest();
const digest = `sha256:${hash.toString('hex')}`;

async function start(t: Test, handler: RawHandler) {
  const server = await rawServer(t, handler);
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/models/`], addresses: ['127.0.0.1'] } });
  return { server, open: (path = 'model.gguf') => open(`${server.origin}/models/${path}`) };
}

/** Serves the file, and a sidecar if there is one. */
const files =
  (sidecar: string | undefined, headers: Record<string, string> = {}): RawHandler =>
  (socket, request) => {
    if (!request.target.endsWith('.sha256')) return servePartial(socket, content, request, { headers });
    if (sidecar === undefined) return void socket.end(responseHead('404 Not Found', { 'Content-Length': 0 }));
    socket.end(responseHead('200 OK', { 'Content-Length': Buffer.byteLength(sidecar) }) + sidecar);
  };

t.test('opening learns length, version and digest, and reads one byte', async (t) => {
  const { server, open } = await start(t, files(undefined, { 'Repr-Digest': `sha-256=:${hash.toString('base64')}:` }));
  const source = await open();
  t.match(source, { totalBytes: content.length, etag: '"v1"', supportsRanges: true });
  t.strictSame(source.claim, { digest, from: 'repr-digest' });
  t.strictSame(
    server.requests.map(({ range }) => range),
    [[0, 0]],
  );
  t.match(server.requests[0]?.headers.get('want-repr-digest'), 'sha-256=10');
  t.equal(server.requests[0]?.headers.get('accept-encoding'), 'identity');
});

t.test('the claim is that of the sidecar if the response has none', async (t) => {
  const hex = hash.toString('hex');
  const other = 'a'.repeat(64);
  const cases: readonly (readonly [string, string | undefined])[] = [
    [`${hex}\n`, digest],
    [`${hex.toUpperCase()}  model.gguf\r\n`, digest],
    [`${hex} *./models/model.gguf\n`, digest],
    [`SHA256 (model.gguf) = ${hex}\n`, digest],
    [`${other}  other.gguf\n${hex}  model.gguf\n`, digest],
    [`${other}  other.gguf\n`, undefined],
    [`${hex}\n${other}\n`, undefined],
    [`${hex}  model.gguf\n${other}  model.gguf\n`, undefined],
    ['<html>not found</html>', undefined],
    ['', undefined],
    [`${hex}00\n`, undefined],
    [`${hex}  model.gguf\n${'x'.repeat(100_000)}`, undefined],
  ];
  for (const [sidecar, expected] of cases) {
    const { open } = await start(t, files(sidecar));
    const { claim } = await open();
    t.strictSame(
      claim,
      expected === undefined ? undefined : { digest: expected, from: 'sidecar' },
      sidecar.slice(0, 90),
    );
  }
});

t.test('a URL with a query gets no sidecar and is never persisted', async (t) => {
  const { server, open } = await start(t, files(`${'a'.repeat(64)}\n`));
  const source = await open('model.gguf?X-Amz-Signature=abc');
  t.match(source, { claim: undefined });
  t.equal(server.requests.length, 1);
});

t.test('a malformed or contradictory Repr-Digest is refused, and other algorithms are no claim', async (t) => {
  const base64 = hash.toString('base64');
  for (const header of ['sha-256=:AAAA:', `sha-256=:${base64}:, sha-256=:${Buffer.alloc(32).toString('base64')}:`]) {
    const { open } = await start(t, files(undefined, { 'Repr-Digest': header }));
    await t.rejects(open(), { code: 'SOURCE_INVALID' }, header);
  }
  const { open } = await start(t, files(undefined, { 'Repr-Digest': 'sha-512=:AAAA:' }));
  t.equal((await open()).claim, undefined);
});

t.test('a source that states no length, or has an empty file, cannot be opened', async (t) => {
  const cases: readonly (readonly [string, string, RawHandler])[] = [
    ['SOURCE_INVALID', 'no length', (socket) => socket.end(responseHead('200 OK', {}))],
    [
      'SOURCE_INVALID',
      'an unknown total',
      (socket, request) => servePartial(socket, content, request, { headers: { 'Content-Range': 'bytes 0-0/*' } }),
    ],
    [
      'SOURCE_INVALID',
      'another range',
      (socket, request) => servePartial(socket, content, request, { headers: { 'Content-Range': 'bytes 1-1/9' } }),
    ],
    ['SOURCE_UNSUPPORTED', 'a length of 0', (socket) => socket.end(responseHead('200 OK', { 'Content-Length': 0 }))],
    [
      'SOURCE_UNSUPPORTED',
      'no first byte',
      (socket) => socket.end(responseHead('416 No', { 'Content-Range': 'bytes */0', 'Content-Length': 0 })),
    ],
    [
      'SOURCE_INVALID',
      'a length beyond 2^53',
      (socket) => socket.end(responseHead('200 OK', { 'Content-Length': '9007199254740993' })),
    ],
  ];
  for (const [code, title, handler] of cases) {
    const { open, server } = await start(t, handler);
    await t.rejects(open('model?x'), { code }, title);
    t.equal(server.connections, 1, title);
  }
});

t.test('ranges and chunks are the bytes of the file from any offset', async (t) => {
  const { open } = await start(t, files(undefined));
  const source = await open('model?x');
  for (const [offset, length] of [
    [0, 1],
    [0, content.length],
    [299_999, 1],
    [123_456, 65_536],
    [5, 0],
  ] as const) {
    const read = await readRange(source, { offset, length }, { signal: anySignal() });
    t.ok(read.equals(content.subarray(offset, offset + length)), `${offset}+${length}`);
  }
  await t.rejects(readRange(source, { offset: content.length, length: 1 }, { signal: anySignal() }), {
    name: 'RangeError',
  });
});

t.test('any range of a file can be read from a source without ranges', async (t) => {
  const { open } = await start(t, (socket) => {
    socket.write(responseHead('200 OK', { 'Content-Length': content.length }));
    socket.end(content);
  });
  const source = await open('model?x');
  t.equal(source.supportsRanges, false);
  const read = await readRange(source, { offset: 0, length: 1000 }, { signal: anySignal() });
  t.ok(read.equals(content.subarray(0, 1000)));
  for (const offset of [1, 999, content.length - 1000]) {
    const middle = await readRange(source, { offset, length: 1000 }, { signal: anySignal() });
    t.ok(middle.equals(content.subarray(offset, offset + 1000)), `from ${offset}`);
  }
});

t.test('a transfer whose sink or signal aborts closes the connection', async (t) => {
  const { server, open } = await start(t, (socket, request) => {
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    socket.write(partialHead(content, request));
    socket.write(content.subarray(0, 70_000));
  });
  const source = await open('model?x');
  const range = { offset: 0, length: content.length };
  for (const part of ['sink', 'signal']) {
    const stopped = new AbortController();
    const write = () => void stopped.abort(new Error('stop'));
    const sink = part === 'sink' ? { write, signal: stopped.signal } : { write };
    const signal = part === 'sink' ? anySignal() : stopped.signal;
    await t.rejects(source.copyTo(sink, range, { signal }), { message: 'stop' }, part);
    await until(() => server.open === 0, 'the connection is open');
  }
});

t.test('a file outside the prefixes is refused without a connection', async (t) => {
  const { server, open } = await start(t, files(undefined));
  for (const path of ['../other', '..%2fother', '%2e%2e/other', '..\\other', '..;/other', '/../../other']) {
    await t.rejects(open(path), { code: /^(SOURCE_FORBIDDEN|INVALID_PARAMS)$/ }, path);
  }
  t.equal(server.connections, 0);
});
