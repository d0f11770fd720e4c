import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { closeGracefully } from '../../../src/http/plugins/graceful_close.js';
import { listen } from '../../../src/http/server/listen.js';
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
