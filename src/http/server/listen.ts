import type { Server } from 'node:http';
import { createServer, type Server as TcpServer } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { limitUnsentBytes } from '../../vram/socket.js';
import { descriptorOf } from './node_internals.js';

/** Connections that wait for accept(2); the kernel may lower it. With Node's 511, bursts lose connections for a second. */
const backlog = 4096;

/** Bytes of a response that the kernel takes before the client can receive them. Its default is up to 4 MB a connection. */
const maxUnsentBytes = 64 * 1024;

const loopbackAddresses = ['127.0.0.1', '::1'];

/** An address family that this host does not have. */
const missingFamily = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/**
 * Listens on an address, and returns the URL. On `localhost` it listens on the loopback addresses of both families,
 * because clients try either first. Fastify does this only for servers that it creates itself.
 * @throws the error of listen(2)
 */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  const url = host === 'localhost' ? await listenOnLoopback(app, port) : await app.listen({ host, port, backlog });
  limitUnsent(app.server);
  // Without a listener, a failed accept(2) would end the process.
  app.server.on('error', (error) => app.log.error({ err: error }, 'a connection could not be accepted'));
  return url;
}

async function listenOnLoopback(app: FastifyInstance, port: number): Promise<string> {
  const [first = '', second = ''] = loopbackAddresses;
  const url = await app.listen({ host: first, port, backlog }).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
    return app.listen({ host: second, port, backlog });
  });
  const bound = app.server.address();
  if (typeof bound === 'object' && bound?.address === first) await listenToo(app.server, second, bound.port);
  return url;
}

/** Hands the connections of a second address to the server, so that they have the same limits. */
async function listenToo(server: Server, host: string, port: number): Promise<void> {
  const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true };
  const second = createServer(options, (socket) => server.emit('connection', socket));
  try {
    await started(second, host, port);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  limitUnsent(second);
  second.on('error', (error) => server.emit('error', error));
  closeTogether(server, second);
}

/** Limits what each connection of a listener can keep in the kernel. Connections inherit it. */
function limitUnsent(listener: TcpServer): void {
  const descriptor = descriptorOf(listener);
  if (descriptor !== undefined) limitUnsentBytes(descriptor, maxUnsentBytes);
}

const started = (server: TcpServer, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog, ipv6Only: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });

/** Stops to accept connections on both addresses at the same time, and waits for the connections of both. */
function closeTogether(server: Server, second: TcpServer): void {
  const close = server.close.bind(server);
  server.close = (callback) => {
    // The callback is also called if the listener is closed already.
    const secondClosed = new Promise<void>((resolve) => second.close(() => resolve()));
    return close((error) => void secondClosed.then(() => callback?.(error)));
  };
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && missingFamily.has(String(error.code));
