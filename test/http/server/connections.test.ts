import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type ConnectionOptions, Connections } from '../../../src/http/server/connections.js';
import { createHttpServer } from '../../../src/http/server/http_server.js';
import { Clocks } from '../../support/clock.js';
import { head, RawClient } from '../../support/raw_http.js';
import { until } from '../../support/until.js';

const large = Buffer.alloc(32 * 2 ** 20);

/** A server with few places, whose `/hold` answers when the test says so. */
async function listen(t: Test, options: ConnectionOptions) {
  const held: (() => void)[] = [];
  const handler: RequestListener = ({ url }, response) => {
    if (url === '/hold') held.push(() => response.end('{"held":true}'));
    else if (url === '/large') response.end(large);
    else response.end('{}');
  };
  const connections = new Connections({ tickMs: 50, probeTimeoutMs: 60_000, ...options });
  const server = createHttpServer(handler, { connections });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  /** A connection with a request in progress. */
  const hold = async () => {
    const before = held.length;
    const client = new RawClient(url).send(head('GET /hold'));
    await until(() => held.length > before);
    return client;
  };
  return { url, held, connections, hold };
}

t.test('at the limit the longest idle connection is closed', async (t) => {
  const { url, held, hold, connections } = await listen(t, { maxConnections: 4, maxPerAddress: 4 });
  const busy = await hold();
  const slow: RawClient[] = [];
  for (let n = 0; n < 8; n++) {
    slow.push(new RawClient(url).send('GET / HTTP/1.1\r\n'));
    const poller = new RawClient(url).send(head('GET /'));
    t.match(await poller.until(/\{\}/), /200 OK/, `new connection ${n} gets a response`);
    await poller.leave();
  }
  await Promise.all(slow.slice(0, 4).map((client) => client.closed));
  t.ok((connections.closed.get('idle') ?? 0) >= 4);
  for (const answer of held) answer();
  t.match(await busy.until(/held/), /200 OK/, 'the busy connection gets its response');
});

t.test('at the limit a client that does not read is disconnected before an idle one', async (t) => {
  const { url, hold, connections } = await listen(t, { maxConnections: 3, maxPerAddress: 3 });
  await hold();
  const idle = new RawClient(url).send(head('GET /'));
  await idle.until(/\{\}/);
  const deaf = new RawClient(url).deafen().send(head('GET /large'));
  await until(() => connections.counts.unread === 1);
  const next = new RawClient(url).send(head('GET /'));
  await next.until(/\{\}/);
  t.same([...connections.closed], [['unread', 1]]);
  t.notOk(idle.gone);
  await deaf.resume().whole();
  t.ok(deaf.heard.length < large.length);
});

t.test('a full server answers probes, and closes other new connections', async (t) => {
  const { url, hold, held, connections } = await listen(t, { maxConnections: 2, maxPerAddress: 2 });
  const busy = [await hold(), await hold()];
  for (const target of ['GET /livez', 'GET /readyz', 'HEAD /livez', 'GET /readyz?a=1']) {
    const heard = await new RawClient(url).send(head(target)).whole();
    t.match(heard, /^HTTP\/1\.1 200 OK\r\n.*connection: close/is, target);
  }
  for (const target of ['GET /livezx', 'GET /', 'GET /v1/ready']) {
    t.equal(await new RawClient(url).send(head(target)).whole(), '', target);
  }
  const closed = () => connections.closed.get('no_place') ?? 0;
  const before = closed();
  const silent = Array.from({ length: 80 }, () => new RawClient(url));
  t.match(await new RawClient(url).send(head('GET /livez')).whole(), /200 OK/, 'with silent connections');
  t.equal(closed() - before, 80 + 1 - 64, 'the ones that have waited longest make room');
  await Promise.all(silent.slice(0, 16).map((client) => client.closed));
  for (const answer of held) answer();
  for (const client of busy) await client.until(/held/);
});

t.test('a silent connection beyond the limit is closed', async (t) => {
  const { url, hold, connections } = await listen(t, { maxConnections: 1, maxPerAddress: 1, probeTimeoutMs: 50 });
  await hold();
  await Promise.all(Array.from({ length: 80 }, () => new RawClient(url).closed));
  t.same(connections.counts, { idle: 0, busy: 1, unread: 0, probe: 0 });
  t.same([...connections.closed], [['no_place', 80]]);
});

t.test('a connection that got a probe place takes a free place for another request', async (t) => {
  const { url, hold, held, connections } = await listen(t, { maxConnections: 1, maxPerAddress: 1 });
  const busy = await hold();
  const late = new RawClient(url);
  await until(() => connections.counts.probe === 1);
  for (const answer of held) answer();
  await busy.until(/held/);
  await late.send(head('GET /')).until(/\{\}/);
  t.match(late.heard, /200 OK/);
  t.notMatch(late.heard, /connection: close/i);
  await late.leave();
});

t.test('one address takes at most its share, and probes from it are still answered', async (t) => {
  const { url, hold } = await listen(t, { maxConnections: 8 });
  const busy = [await hold(), await hold(), await hold(), await hold()];
  t.equal(await new RawClient(url).send(head('GET /')).whole(), '');
  t.match(await new RawClient(url).send(head('GET /livez')).whole(), /200 OK/);
  t.notOk(busy.some((client) => client.gone));
});

/** A client that requests `/large` and reads a kilobyte every 100 ms. */
function trickle(t: Test, url: string): void {
  const onread = { buffer: Buffer.alloc(1024), callback: () => false };
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), onread });
  const timer = setInterval(() => socket.resume(), 100);
  socket.on('error', () => undefined).write(head('GET /large'));
  t.teardown(() => {
    clearInterval(timer);
    socket.destroy();
  });
}

t.test('a client that reads too slowly is disconnected, one that reads or waits is not', async (t) => {
  const limits = { maxConnections: 8, maxPerAddress: 8, unreadTimeoutMs: 400 };
  const { url, held, hold, connections } = await listen(t, limits);
  // The time of the server passes only here, so that a pause of this process is not the fault of a client.
  const clocks = Clocks.take(t);
  const patient = await hold();
  const deaf = new RawClient(url).deafen().send(head('GET /large'));
  trickle(t, url);
  const reader = new RawClient(url).send(head('GET /large'));
  let heard = 0;
  await until(() => {
    // Far more than the kernel buffers, each tenth of a second.
    if (reader.heard.length >= heard + 4 * 2 ** 20) {
      heard = reader.heard.length;
      clocks.pass(100);
    }
    return reader.heard.length >= large.length;
  });
  t.pass('a client that reads gets the whole response');
  await until(() => {
    clocks.pass(50);
    return connections.closed.get('slow_reader') === 2;
  });
  for (const answer of held) answer();
  t.match(await patient.until(/held/), /200 OK/);
  await deaf.resume().whole();
  t.ok(deaf.heard.length < large.length);
});

const get = (target: string) => head(`GET ${target}`);

t.test('pipelined requests are answered in order, and reading stops behind the second that waits', async (t) => {
  const { url, held } = await listen(t, { maxConnections: 8, maxPerAddress: 8 });
  const client = new RawClient(url).send(get('/hold')).send(get('/hold')).send(get('/hold'));
  await until(() => held.length === 1);
  const block = Buffer.from(get('/').repeat(1000));
  void client.flood(block, 64 * 2 ** 20);
  let taken = 0;
  await until(async () => {
    taken = client.sentBytes;
    await sleep(100);
    return taken > 0 && client.sentBytes === taken;
  }, 'the server reads on');
  t.ok(taken < 32 * 2 ** 20, `${taken} bytes are in the kernel`);
  t.equal(held.length, 1, 'one request runs');
  for (let n = 0; n < 3; n++) {
    await until(() => held.length === n + 1);
    held[n]?.();
  }
  await until(() => client.heard.split('{}').length > 500);
  t.match(client.heard.slice(0, 1000), /(?:"held":true.*){3}\{\}/s);
  await client.leave();
});

t.test('a burst of pipelined requests in one packet is answered completely', async (t) => {
  const { url } = await listen(t, { maxConnections: 8 });
  const client = new RawClient(url).send(get('/').repeat(500));
  await until(() => client.heard.split('{}').length > 500);
  t.equal(client.heard.match(/200 OK/g)?.length, 500);
  await client.leave();
});

t.test('a client that leaves is noticed while the server does not read', async (t) => {
  const { url, held, connections } = await listen(t, { maxConnections: 8, maxPerAddress: 8 });
  const client = new RawClient(url).send(get('/hold').repeat(3));
  await until(() => held.length === 1);
  await client.reset();
  await until(() => connections.counts.busy === 0);
  t.equal(held.length, 1, 'the requests behind it are dropped');
});

t.test('pipelined requests that wait in the whole process are limited', async (t) => {
  const { url, connections } = await listen(t, { maxConnections: 100, maxPerAddress: 100 });
  const burst = get('/hold') + 'GET / HTTP/1.1\r\n\r\n'.repeat(2000);
  const clients = Array.from({ length: 20 }, () => new RawClient(url).send(burst));
  await until(() => (connections.closed.get('pipelining') ?? 0) >= 12);
  t.ok(clients.filter((client) => !client.gone).length >= 3, 'only as many as needed are closed');
  await Promise.all(clients.map((client) => client.leave()));
});
