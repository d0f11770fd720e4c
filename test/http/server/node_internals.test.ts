import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import {
  allowHalfOpen,
  descriptorOf,
  pauseNewConnections,
  tcpSocketOf,
} from '../../../src/http/server/node_internals.js';
import { pausableReaderOf } from '../../../src/runtime/pausable_reader.js';
import { Authority } from '../../support/certificates.js';
import { root } from '../../support/paths.js';

const source = join(root, 'src', 'http');
const internals = /Reflect\.get\(|\b_handle\b|\b_parent\b|httpAllowHalfOpen|\._[a-z]/;

t.test('no other file of http uses undocumented fields of Node', async (t) => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const users = files.filter((file) => internals.test(readFileSync(join(source, file), 'utf8')));
  t.same(users, ['server/node_internals.ts']);
});

/** Starts a server and returns its side of the first connection. `prepare` is called before the server listens. */
async function accept(t: Test, prepare: (server: Server) => void = () => undefined): Promise<Socket> {
  const server = createServer();
  prepare(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.teardown(() => {
    client.destroy();
    server.close();
  });
  const [socket]: Socket[] = await once(server, 'connection');
  if (socket === undefined) throw new Error('no connection');
  return socket;
}

t.test('a TCP connection has a descriptor, and Node can stop reading from it', async (t) => {
  const socket = await accept(t);
  const reader = pausableReaderOf(socket);
  t.ok(Number.isInteger(descriptorOf(socket)));
  t.equal(reader?.descriptor, descriptorOf(socket));
  reader?.stop();
  socket.resume();
  t.doesNotThrow(() => reader?.start());
  socket.destroy();
  await once(socket, 'close');
  t.equal(descriptorOf(socket), undefined);
  t.equal(pausableReaderOf(socket), undefined);
});

t.test('Node reads nothing from a new connection before it is resumed', async (t) => {
  let listener: unknown;
  const socket = await accept(t, (server) => {
    [listener] = server.listeners('connection');
    server.removeAllListeners('connection');
    pauseNewConnections(server);
  });
  t.equal(socket.isPaused(), true);
  t.equal(socket.bytesRead, 0);
  t.type(listener, 'function', 'the listener that serves a connection');
});

t.test('a TLS socket has a TCP socket below it, and no reader that can be stopped', async (t) => {
  const authority = new Authority(t);
  const { cert, key } = authority.issue('worker');
  const server = createTlsServer({ cert, key }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = (server.address() as AddressInfo).port;
  const client = connectTls({
    port,
    host: '127.0.0.1',
    ca: authority.certificate.cert,
    checkServerIdentity: () => undefined,
  });
  t.teardown(() => {
    client.destroy();
    server.close();
  });
  const tcp = once(server, 'connection');
  const [tlsSocket]: Socket[] = await once(server, 'secureConnection');
  if (tlsSocket === undefined) throw new Error('no connection');
  t.equal(tcpSocketOf(tlsSocket), (await tcp)[0]);
  t.equal(pausableReaderOf(tlsSocket), undefined);
});

t.test('a client that half-closed the connection gets its response', async (t) => {
  const server = createServer((_request, response) => void setTimeout(() => response.end('late'), 50));
  allowHalfOpen(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  client.end('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');
  const [text] = await once(client.setEncoding('latin1'), 'data');
  t.match(text, /200 OK/);
  client.destroy();
});
