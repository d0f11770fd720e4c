import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { connect, createServer, Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { closeGracefully } from '../../../src/http/plugins/graceful_close.js';
import { listen } from '../../../src/http/server/listen.js';
import { head } from '../../support/raw_http.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);
const addresses = hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];

const statusAt = async (
  host: string,
  port: number,
  headers = {},
  agent: Agent | false = false,
): Promise<number | undefined> => {
  const [answer] = await once(get({ host, port, path: '/livez', agent, headers }), 'response');
  answer.resume();
  return answer.statusCode;
};

t.test('on localhost the worker listens on both addresses, and stops on both', async (t) => {
  const { app } = await startWorker(t);
  const { port } = new URL(await listen(app, 'localhost', 0));
  for (const host of addresses) {
    t.equal(await statusAt(host, Number(port)), 200, host);
    t.equal(await statusAt(host, Number(port), { expect: '100-continue' }), 200, host);
  }
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  for (const host of addresses)
    t.equal(await statusAt(host, Number(port), {}, agent), 200, `${host} keeps a connection`);
  await closeGracefully(app, 60_000);
  for (const host of addresses) await t.rejects(statusAt(host, Number(port)), { code: 'ECONNREFUSED' }, host);
});

t.test('the limit of connections counts both addresses', { skip: !hasIpv6 && 'no IPv6' }, async (t) => {
  const { app } = await startWorker(t);
  const { port } = new URL(await listen(app, 'localhost', 0));
  const count = () =>
    new Promise((resolve) => app.server.getConnections((_error, connections) => resolve(connections)));
  const socket = connect(Number(port), '::1');
  t.teardown(() => socket.destroy());
  const [connection] = await Promise.all([once(app.server, 'connection'), once(socket, 'connect')]);
  t.equal(connection.length, 1, 'the server sees the connection');
  t.equal(await count(), 0, 'which Node counts at the other listener');
});

t.test('a failed accept on the second address does not disturb the end', { skip: !hasIpv6 && 'no IPv6' }, async (t) => {
  const { app } = await startWorker(t);
  const listeners = t.capture(Server.prototype, 'listen', Server.prototype.listen);
  const { port } = new URL(await listen(app, 'localhost', 0));
  const second = listeners().at(-1)?.receiver;
  if (!(second instanceof Server)) throw new Error('there is no second listener');
  const socket = connect(Number(port), '::1');
  await Promise.all([once(app.server, 'connection'), once(socket, 'connect')]);
  const closed = new Promise((resolve) => app.server.close(resolve));
  second.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE', syscall: 'accept' }));
  socket.destroy();
  t.equal(await closed, undefined);
});

t.test('a port that is in use on one of the addresses is an error', { skip: !hasIpv6 && 'no IPv6' }, async (t) => {
  const other = createServer().listen(0, '::1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { app } = await startWorker(t);
  await t.rejects(listen(app, 'localhost', port), { code: 'EADDRINUSE' });
});

t.test('a failed accept does not end the process', async (t) => {
  const lines: string[] = [];
  const { app } = await startWorker(t, { log: (line) => lines.push(line) });
  await listen(app, '127.0.0.1', 0);
  app.server.emit('error', Object.assign(new Error('accept ENFILE'), { code: 'ENFILE', syscall: 'accept' }));
  t.match(lines.at(-1), 'a connection could not be accepted');
});

const kernelBacklog = Number(readFileSync('/proc/sys/net/core/somaxconn', 'latin1'));
const burst = 1000;
const isShort = kernelBacklog < burst && `the kernel allows a backlog of ${kernelBacklog}`;

/** TCP connections from this host to a port that the kernel has not established: state SYN_SENT in proc_net_tcp. */
function pendingConnections(port: number): number {
  const target = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 02`;
  return readFileSync('/proc/net/tcp', 'latin1').split(target).length - 1;
}

t.test('the kernel takes a burst of connections before the worker accepts them', { skip: isShort }, async (t) => {
  const { app } = await startWorker(t);
  const port = Number(new URL(await listen(app, '127.0.0.1', 0)).port);
  const sockets: Socket[] = [];
  for (let n = 0; n < burst; n++) sockets.push(connect(port, '127.0.0.1').on('error', () => undefined));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  // Node connects in the next tick. The event loop does not run here, so the worker accepts nothing.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  for (let n = 0; n < 6000 && pendingConnections(port) > 0; n++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  t.equal(pendingConnections(port), 0);
});

t.test('the kernel buffers little of a response that the client does not read', async (t) => {
  const { app } = await startWorker(t);
  const url = await listen(app, 'localhost', 0);
  const deaf = connect(Number(new URL(url).port), '127.0.0.1').pause();
  t.teardown(() => deaf.destroy());
  // The kernel would take the whole response of 1.4 MB.
  deaf.write(head('GET /docs/static/swagger-ui-bundle.js'));
  const metrics = async () => (await app.inject('/metrics')).body;
  await until(async () => (await metrics()).includes('vram_http_connections{state="unread"} 1'));
  t.pass('the worker sees that the client does not read');
});
