import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { Bandwidth } from '../../../src/sources/egress/bandwidth.js';
import { Authority, type Certificate } from '../../support/certificates.js';
import { anySignal, httpSource, lookupOf, MemorySink } from '../../support/http_sources.js';
import { ManualClock } from '../../support/manual_clock.js';
import { rawServer } from '../../support/raw_source.js';
import { until } from '../../support/until.js';

const content = Buffer.alloc(500_000, 'weights ');

/** Writes the response itself, past Node. */
type Raw = (socket: Duplex, first: number, last: number) => void;

async function httpsServer(t: Test, { cert, key }: Certificate, location?: string, raw?: Raw): Promise<number> {
  const server = createServer({ cert, key }, (request, response) => {
    if (location !== undefined) return void response.writeHead(302, { Location: location }).end();
    const [, first = '0', last = '0'] = /^bytes=([0-9]+)-([0-9]+)$/.exec(request.headers.range ?? '') ?? [];
    if (raw !== undefined && response.socket !== null) return raw(response.socket, Number(first), Number(last));
    const range = `bytes ${first}-${last}/${content.length}`;
    response.writeHead(206, { 'Content-Range': range, ETag: '"v1"' });
    response.end(content.subarray(Number(first), Number(last) + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

t.test('a file is read over TLS, with the authorities of the settings', async (t) => {
  const authority = new Authority(t);
  const port = await httpsServer(t, authority.issue('source'));
  const prefix = `https://127.0.0.1:${port}/`;
  const settings = { prefixes: [prefix], addresses: ['127.0.0.1'] };
  const { open } = httpSource({ settings, files: { ca: authority.certificate.cert } });
  const source = await open(`${prefix}model?x`);
  const sink = new MemorySink();
  await source.copyTo(sink, { offset: 0, length: content.length }, { signal: anySignal() });
  t.ok(sink.content.equals(content));
});

const headOf = (first: number, last: number): string =>
  [
    'HTTP/1.1 206 Partial Content',
    `Content-Range: bytes ${first}-${last}/${content.length}`,
    `Content-Length: ${last + 1 - first}`,
    'ETag: "v1"',
    '\r\n',
  ].join('\r\n');

/** A source whose server writes its responses itself. */
async function rawHttps(t: Test, raw: Raw) {
  const authority = new Authority(t);
  const port = await httpsServer(t, authority.issue('source'), undefined, raw);
  const prefix = `https://127.0.0.1:${port}/`;
  const settings = { prefixes: [prefix], addresses: ['127.0.0.1'] };
  const { open, egress } = httpSource({ settings, files: { ca: authority.certificate.cert } });
  return { egress, source: await open(`${prefix}model?x`) };
}

t.test('a body over TLS arrives once and in order, although the connection is cut and the sink is slow', async (t) => {
  let cuts = 0;
  const { source, egress } = await rawHttps(t, (socket, first, last) => {
    const body = content.subarray(first, last + 1);
    if (body.length < 300_000 || cuts === 2)
      return void socket.end(Buffer.concat([Buffer.from(headOf(first, last)), body]));
    cuts += 1;
    socket.write(headOf(first, last));
    socket.write(body.subarray(0, 70_000), () => setImmediate(() => socket.destroy()));
  });
  const sink = new MemorySink();
  let writing = false;
  let writes = 0;
  const slow = {
    write: (chunk: Uint8Array) => {
      t.notOk(writing, 'one write at a time');
      sink.write(chunk);
      writes += 1;
      if (writes % 3 !== 0) return undefined;
      writing = true;
      return sleep(2).then(() => {
        writing = false;
      });
    },
  };
  await source.copyTo(slow, { offset: 0, length: content.length }, { signal: anySignal() });
  t.ok(sink.content.equals(content));
  t.equal(cuts, 2);
  await until(() => egress.connections.openCount === 0);
});

t.test('a body over TLS with extra bytes, or with fewer than it states, is refused', async (t) => {
  const half = content.subarray(0, 250_000);
  const longer = await rawHttps(t, (socket, first, last) => {
    if (last < 300_000)
      return void socket.end(Buffer.concat([Buffer.from(headOf(first, last)), content.subarray(first, last + 1)]));
    socket.end(Buffer.concat([Buffer.from(headOf(first, last)), content, Buffer.from('more')]));
  });
  await t.rejects(longer.source.copyTo(new MemorySink(), whole, { signal: anySignal() }), { code: 'SOURCE_INVALID' });
  const ranges: number[] = [];
  const shorter = await rawHttps(t, (socket, first, last) => {
    if (last < 300_000)
      return void socket.end(Buffer.concat([Buffer.from(headOf(first, last)), content.subarray(first, last + 1)]));
    ranges.push(first);
    socket.end(Buffer.concat([Buffer.from(headOf(first, last)), first === 0 ? half : content.subarray(first)]));
  });
  const sink = new MemorySink();
  await shorter.source.copyTo(sink, whole, { signal: anySignal() });
  t.ok(sink.content.equals(content));
  t.strictSame(ranges, [0, half.length], 'the rest is requested again');
});

const whole = { offset: 0, length: content.length };

t.test('a server of TLS 1.2 that asks for another handshake gets none, with a clear error', async (t) => {
  const authority = new Authority(t);
  const { cert, key } = authority.issue('source');
  let asked = 0;
  let repeated = 0;
  const server = createTlsServer({ cert, key, maxVersion: 'TLSv1.2' }, (socket) => {
    socket
      .on('error', () => undefined)
      .once('data', (request) => {
        const [, first = '0', last = '0'] = /bytes=([0-9]+)-([0-9]+)/.exec(String(request)) ?? [];
        if (asked > 0 || Number(last) < 300_000) return sendAll(socket, Number(first), Number(last));
        asked += 1;
        socket.write(Buffer.concat([Buffer.from(headOf(Number(first), Number(last))), content.subarray(0, 100_000)]));
        const done = (error: Error | null) => {
          if (error === null) repeated += 1;
          socket.destroy();
        };
        socket.renegotiate({}, done);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const prefix = `https://127.0.0.1:${port}/`;
  const settings = { prefixes: [prefix], addresses: ['127.0.0.1'] };
  const { open } = httpSource({ settings, files: { ca: authority.certificate.cert } });
  const source = await open(`${prefix}model?x`);
  const copied = source.copyTo(new MemorySink(), whole, { signal: anySignal() });
  await t.rejects(copied, { code: 'SOURCE_INVALID', message: /TLS connection/ });
  t.strictSame([asked, repeated], [1, 0]);
});
const sendAll = (socket: Duplex, first: number, last: number): void =>
  void socket.write(Buffer.concat([Buffer.from(headOf(first, last)), content.subarray(first, last + 1)]));

t.test('a body over TLS is complete with its last byte, although the connection stays open', async (t) => {
  const { source, egress } = await rawHttps(t, sendAll);
  const sink = new MemorySink();
  await source.copyTo(sink, whole, { signal: anySignal() });
  t.ok(sink.content.equals(content));
  await until(() => egress.connections.openCount === 0);
});

t.test('an abort ends a body over TLS while its source is silent, and while its sink is busy', async (t) => {
  const { source, egress } = await rawHttps(t, (socket, first, last) => {
    if (last < 300_000) sendAll(socket, first, last);
    else socket.write(Buffer.concat([Buffer.from(headOf(first, last)), content.subarray(0, 300_000)]));
  });
  for (const isBusy of [false, true]) {
    const controller = new AbortController();
    const sink = new MemorySink();
    const write = (chunk: Uint8Array) => {
      sink.write(chunk);
      return isBusy && sink.bytes > 200_000 ? new Promise<void>(() => undefined) : undefined;
    };
    const copied = source.copyTo({ write }, whole, { signal: controller.signal });
    copied.catch(() => undefined);
    await until(() => sink.bytes > 200_000);
    controller.abort(new Error('canceled'));
    await t.rejects(copied, { message: 'canceled' });
    await until(() => egress.connections.openCount === 0);
  }
});

t.test('a limit of the bandwidth holds over TLS', async (t) => {
  const clock = new ManualClock();
  const authority = new Authority(t);
  const port = await httpsServer(t, authority.issue('source'));
  const prefix = `https://127.0.0.1:${port}/`;
  const { open } = httpSource({
    settings: { prefixes: [prefix], addresses: ['127.0.0.1'] },
    files: { ca: authority.certificate.cert },
    environment: { bandwidth: new Bandwidth(100_000, clock), clock },
  });
  const source = await open(`${prefix}model?x`);
  const sink = new MemorySink();
  const copied = source.copyTo(sink, whole, { signal: anySignal() });
  await until(() => sink.bytes > 0);
  await sleep(20);
  t.ok(sink.bytes < 100_000, 'the clock has not moved');
  const advancing = setInterval(() => clock.advance(1000), 1);
  t.teardown(() => clearInterval(advancing));
  await copied;
  t.ok(sink.content.equals(content));
});

t.test('a failure of the sink over TLS ends the transfer and closes the connection', async (t) => {
  const { source, egress } = await rawHttps(t, (socket, first, last) => {
    socket.end(Buffer.concat([Buffer.from(headOf(first, last)), content.subarray(first, last + 1)]));
  });
  const failing = { write: () => Promise.reject(new Error('full')) };
  await t.rejects(source.copyTo(failing, whole, { signal: anySignal() }), { message: 'full' });
  await until(() => egress.connections.openCount === 0);
});

t.test(
  'a certificate of another authority or host is refused, without another attempt and whatever the environment',
  async (t) => {
    const authority = new Authority(t);
    const port = await httpsServer(t, authority.issue('source'));
    const environment = { lookup: lookupOf({ 'other.test': ['127.0.0.1'] }) };
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    t.teardown(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    });
    for (const [host, files] of [
      ['127.0.0.1', {}],
      ['127.0.0.1', { ca: new Authority(t, 'another').certificate.cert }],
      ['other.test', { ca: authority.certificate.cert }],
    ] as const) {
      const prefix = `https://${host}:${port}/`;
      const { open } = httpSource({ settings: { prefixes: [prefix], addresses: ['127.0.0.1'] }, files, environment });
      const retries: unknown[] = [];
      const opened = open(`${prefix}model?x`, { onRetry: (retry) => retries.push(retry) });
      await t.rejects(
        opened,
        { code: 'SOURCE_INVALID', message: /^The TLS connection to the source failed: [A-Z_]+$/ },
        host,
      );
      t.strictSame(retries, []);
    }
  },
);

t.test('https is never redirected to http, not even to a host that is allowed', async (t) => {
  const plain = await rawServer(t, () => undefined);
  const authority = new Authority(t);
  const port = await httpsServer(t, authority.issue('source'), `${plain.origin}/model`);
  const prefix = `https://127.0.0.1:${port}/`;
  const { open } = httpSource({
    settings: {
      prefixes: [prefix, `${plain.origin}/`],
      addresses: ['127.0.0.1'],
      redirect_hosts: [`127.0.0.1:${plain.port}`],
    },
    files: { ca: authority.certificate.cert },
  });
  await t.rejects(open(`${prefix}model?x`), { code: 'SOURCE_FORBIDDEN', message: /from https to http/ });
  t.equal(plain.connections, 0);
});

t.test('an abort during the TLS handshake closes the connection', async (t) => {
  const silent = await rawServer(t, () => undefined);
  const prefix = `https://127.0.0.1:${silent.port}/`;
  const { open, egress } = httpSource({ settings: { prefixes: [prefix], addresses: ['127.0.0.1'] } });
  const controller = new AbortController();
  const opened = open(`${prefix}model?x`, { signal: controller.signal });
  await until(() => silent.open === 1);
  controller.abort(new Error('canceled'));
  await t.rejects(opened, { message: 'canceled' });
  await until(() => silent.open === 0, 'the connection is open');
  t.equal(egress.connections.openCount, 0);
});

t.test('plain http behind an https prefix is refused', async (t) => {
  // Node answers a TLS greeting with a plain 400.
  const plain = createPlainServer();
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  t.teardown(() => plain.close());
  const address = plain.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const prefix = `https://127.0.0.1:${port}/`;
  const { open } = httpSource({ settings: { prefixes: [prefix], addresses: ['127.0.0.1'] } });
  await t.rejects(open(`${prefix}model?x`), { code: 'SOURCE_INVALID' });
  await t.rejects(open(`http://127.0.0.1:${port}/model?x`), { code: 'SOURCE_FORBIDDEN' }, 'another prefix');
});
