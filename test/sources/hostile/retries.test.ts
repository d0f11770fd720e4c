import t, { type Test } from 'tap';
import type { WorkerError } from '../../../src/errors.js';
import type { Retry, TransferOptions } from '../../../src/sources/egress/request.js';
import { anySignal, httpSource, lookupOf, MemorySink } from '../../support/http_sources.js';
import { ManualClock } from '../../support/manual_clock.js';
import { partialHead, type RawHandler, rawServer, responseHead, servePartial } from '../../support/raw_source.js';
import { until } from '../../support/until.js';

const content = Buffer.alloc(1024 * 1024, 'weights ');
const whole = { offset: 0, length: content.length };

/** A server, and a source of it whose waits end at once. `retries` has what the owner of a transfer hears. */
async function start(t: Test, handler: RawHandler, random = 0.5) {
  const clock = new ManualClock();
  const server = await rawServer(t, handler);
  const { open, egress } = httpSource({
    settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] },
    environment: { clock, random: () => random },
  });
  const retries: Retry[] = [];
  const options: TransferOptions = {
    signal: anySignal(),
    onRetry: (retry) => {
      retries.push(retry);
      setImmediate(() => clock.advance(retry.waitMs));
    },
  };
  return { clock, server, egress, retries, options, open: () => open(`${server.origin}/model?x`, options) };
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: WorkerError) => error.code,
  );

t.test('each status is retried, or is final', async (t) => {
  const retried = [408, 425, 429, 500, 502, 503, 504, 507, 599];
  const final = { 400: 'SOURCE_INVALID', 403: 'SOURCE_AUTH_FAILED', 404: 'SOURCE_NOT_FOUND', 410: 'SOURCE_NOT_FOUND' };
  const others = { 402: 'SOURCE_INVALID', 405: 'SOURCE_INVALID', 451: 'SOURCE_INVALID', 501: 'SOURCE_INVALID' };
  for (const [status, code] of [
    ...retried.map((each) => [each, 'SOURCE_UNAVAILABLE'] as const),
    ...Object.entries({ ...final, ...others }).map(([each, code]) => [Number(each), code] as const),
  ]) {
    const { server, open } = await start(t, (socket) =>
      socket.end(responseHead(`${status} Status`, { 'Content-Length': 0 })),
    );
    t.equal(await codeOf(open()), code, `${status}`);
    t.equal(server.connections, retried.includes(status) ? 8 : 1, `${status}: attempts`);
  }
});

t.test(
  'the waits of a source that never answers well are those of the policy, and the owner hears of each',
  async (t) => {
    const { retries, open } = await start(t, (socket) => socket.destroy(), 0.999999);
    t.equal(await codeOf(open()), 'SOURCE_UNAVAILABLE');
    t.strictSame(
      retries.map(({ waitMs }) => Math.round(waitMs)),
      [500, 1000, 2000, 4000, 8000, 16_000, 30_000],
    );
    t.strictSame(
      retries.map(({ attempt }) => attempt),
      [1, 2, 3, 4, 5, 6, 7],
    );
    t.ok(retries.every(({ error }) => error.code === 'SOURCE_UNAVAILABLE'));
  },
);

t.test('Retry-After and RateLimit replace the waits', async (t) => {
  const cases: readonly (readonly [Record<string, string>, number])[] = [
    [{ 'Retry-After': '7' }, 7000],
    [{ RateLimit: '"api";r=0;t=55' }, 56_000],
    [{ RateLimit: '"burst";r=0;t=3, "daily";r=100;t=80000' }, 4000],
    [{ 'Retry-After': '7', RateLimit: '"api";r=0;t=55' }, 56_000],
    [{ 'Retry-After': 'soon' }, 250],
    [{ 'Retry-After': '-1' }, 250],
    [{ 'Retry-After': '99999999999999999999' }, 250],
  ];
  for (const [headers, waitMs] of cases) {
    const { retries, open, server } = await start(t, (socket, request) => {
      if (request.number > 1) return servePartial(socket, content, request);
      socket.end(responseHead('429 Too Many Requests', { 'Content-Length': 0, ...headers }));
    });
    t.equal(await codeOf(open()), 'ok', JSON.stringify(headers));
    t.strictSame([retries.map((each) => each.waitMs), server.connections], [[waitMs], 2]);
  }
});

t.test('Retry-After can be a date', async (t) => {
  const clock = new ManualClock();
  const date = new Date(clock.epochMs() + 90_000).toUTCString();
  const { retries, open } = await start(t, (socket, request) => {
    if (request.number > 1) return servePartial(socket, content, request);
    socket.end(responseHead('503 Busy', { 'Content-Length': 0, 'Retry-After': date }));
  });
  t.equal(await codeOf(open()), 'ok');
  t.equal(retries[0]?.waitMs, 90_000);
});

t.test('a wait that ends after the deadline fails at once, and the error names it', async (t) => {
  const { egress, server } = await start(t, (socket) =>
    socket.end(responseHead('429 Too Many Requests', { 'Content-Length': 0, 'Retry-After': '3600' })),
  );
  const url = new URL(`${server.origin}/x`);
  const asked = egress.head({ role: 'endpoint', url }, { signal: anySignal(), timeoutMs: 60_000 });
  await t.rejects(asked, { code: 'SOURCE_UNAVAILABLE', retryAfterMs: 3_600_000 });
  t.equal(server.connections, 1);
});

t.test('the deadline ends a transfer that waits', async (t) => {
  const { clock, egress, server } = await start(t, () => undefined);
  const url = new URL(`${server.origin}/x`);
  const asked = egress.head({ role: 'endpoint', url }, { signal: anySignal(), timeoutMs: 20_000 });
  await until(() => server.requests.length === 1);
  clock.advance(20_000);
  await t.rejects(asked, { code: 'SOURCE_TIMEOUT', message: 'The transfer did not end within 20 s' });
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('an attempt with progress is followed at once, however often the source cuts', async (t) => {
  const step = 300_000;
  const { open, options, retries } = await start(t, (socket, request) => {
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    const [first] = request.range ?? [0];
    socket.write(partialHead(content, request));
    socket.end(content.subarray(first, first + step));
  });
  const source = await open();
  const sink = new MemorySink();
  await source.copyTo(sink, whole, options);
  t.ok(sink.content.equals(content));
  t.strictSame(
    retries.map(({ waitMs }) => waitMs),
    [0, 0, 0],
  );
});

t.test('a source that sends too little each time is given up after eight attempts', async (t) => {
  const { open, options, server } = await start(t, (socket, request) => {
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    const [first] = request.range ?? [0];
    socket.write(partialHead(content, request));
    socket.end(content.subarray(first, first + 1000));
  });
  const source = await open();
  const sink = new MemorySink();
  await t.rejects(source.copyTo(sink, whole, options), { code: 'SOURCE_UNAVAILABLE' });
  t.equal(server.connections, 9);
  t.equal(sink.bytes, 8000);
});

t.test('an expired signature is replaced: a 403 of another host asks the own host again', async (t) => {
  let signature = 1;
  const cdn = await rawServer(t, (socket, request) => {
    const isCurrent = request.target.endsWith(`signature=${signature}`);
    if (!isCurrent) return void socket.end(responseHead('403 Forbidden', { 'Content-Length': 0 }));
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    const [first] = request.range ?? [0];
    socket.write(partialHead(content, request));
    // The signature expires in the middle, and the hub repeats the old one once.
    if (first === 0) socket.write(content.subarray(0, 400_000), () => setTimeout(() => socket.destroy(), 20));
    else socket.end(content.subarray(first));
    if (first === 0) signature = 2;
  });
  let stale = 1;
  const hub = await rawServer(t, (socket) => {
    const current = signature === 2 && stale-- > 0 ? 1 : signature;
    const location = `http://cdn.test:${cdn.port}/blob?signature=${current}`;
    socket.end(responseHead('302 Found', { Location: location, 'Content-Length': 0 }));
  });
  const { open } = httpSource({
    settings: { prefixes: [`${hub.origin}/`], addresses: ['127.0.0.1'], redirect_hosts: [`cdn.test:${cdn.port}`] },
    environment: { lookup: lookupOf({ 'cdn.test': ['127.0.0.1'] }) },
  });
  const source = await open(`${hub.origin}/model?x`);
  const sink = new MemorySink();
  await source.copyTo(sink, whole, { signal: anySignal() });
  t.ok(sink.content.equals(content));
  t.ok(cdn.requests.some(({ target }) => target.endsWith('signature=2')));
});

t.test('an abort ends a transfer wherever it waits, with its reason, and closes the connection', async (t) => {
  const silent = await start(t, () => undefined);
  const reason = new Error('canceled');
  const controller = new AbortController();
  const url = new URL(`${silent.server.origin}/x`);
  const asked = silent.egress.head({ role: 'endpoint', url }, { signal: controller.signal });
  await until(() => silent.server.requests.length === 1);
  controller.abort(reason);
  await t.rejects(asked, reason, 'at the head');
  await until(() => silent.server.open === 0, 'the connection is open');
  t.equal(silent.egress.connections.openCount, 0);

  const failing = await start(t, (socket) => socket.destroy());
  const waiting = new AbortController();
  const retried = failing.egress.head(
    { role: 'endpoint', url: new URL(`${failing.server.origin}/x`) },
    { signal: waiting.signal, onRetry: () => setImmediate(() => waiting.abort(reason)) },
  );
  await t.rejects(retried, reason, 'between attempts');
  t.equal(failing.clock.pending, 0);

  const body = await start(t, (socket, request) => {
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    socket.write(partialHead(content, request));
    socket.write(content.subarray(0, 1000));
  });
  const source = await body.open();
  const reading = new AbortController();
  const sink = new MemorySink();
  const copied = source.copyTo(sink, whole, { signal: reading.signal });
  await until(() => sink.bytes === 1000);
  reading.abort(reason);
  await t.rejects(copied, reason, 'in the body');
  await until(() => body.server.open === 0);
  t.equal(body.clock.pending, 0);
});
