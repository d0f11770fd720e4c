import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbortScope } from './abort_scope.js';
import { canonicalAddress } from './address_rules.js';
import type { Clock } from './clock.js';
import { faultOf, forbidden, timedOut } from './fault.js';

/** One address of several gets this time, so that a dead one does not use up the time of the connection. */
const addressTimeoutMs = 5_000;

export interface ConnectOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The trusted authorities in PEM; undefined for those of Node. */
  readonly ca: Buffer | undefined;
}

/**
 * Connects to the first of the checked addresses that answers, with TLS for https. Nothing is sent before the address of
 * the connection is compared with the checked one. The only code of the worker that opens outgoing connections.
 * @throws SourceFault, or the reason of the signal
 */
export async function connect(url: URL, addresses: readonly string[], options: ConnectOptions): Promise<Socket> {
  const socket = await connectToAny(url, addresses, options);
  if (url.protocol === 'http:') return socket;
  return secure(url, socket, options);
}

async function connectToAny(url: URL, addresses: readonly string[], options: ConnectOptions): Promise<Socket> {
  const { clock, signal } = options;
  let last: unknown;
  for (const address of addresses) {
    const scope = new AbortScope(signal);
    if (addresses.length > 1) {
      scope.abortAfter(clock, addressTimeoutMs, () => timedOut('The source did not accept the connection in time'));
    }
    try {
      return await open(address, portOf(url), scope.signal);
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    } finally {
      scope.dispose();
    }
  }
  throw last;
}

const portOf = ({ port, protocol }: URL): number => (port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port));

async function open(address: string, port: number, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connectTcp({ host: address, port, noDelay: true, autoSelectFamily: false });
  await settled(socket, 'connect', signal);
  if (canonicalAddress(socket.remoteAddress ?? '') === canonicalAddress(address)) return socket;
  socket.destroy();
  throw forbidden('The connection leads to another address than the checked one');
}

async function secure(url: URL, socket: Socket, { ca, signal }: ConnectOptions): Promise<Socket> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const secured = connectTls({
    socket,
    host,
    // RFC 6066 §3 allows names alone.
    servername: isIP(host) === 0 ? host : '',
    // Explicit, because environment variables of Node can change the default.
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    ...(ca === undefined ? {} : { ca }),
  });
  await settled(secured, 'secureConnect', signal);
  return secured;
}

/** Waits for an event of a socket. On failure the socket is destroyed. */
function settled(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      socket.off(event, onReady).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
    };
    let failure: unknown;
    const onError = (error: unknown): void => {
      failure = error;
    };
    const onReady = (): void => {
      end();
      resolve();
    };
    const onClose = (): void => {
      end();
      reject(signal.aborted ? signal.reason : faultOf(failure ?? new Error('closed')));
    };
    const onAbort = (): void => {
      socket.destroy();
    };
    // Stays: a later error belongs to the request, which gets it as well.
    socket.on('error', onError);
    socket.once(event, onReady).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
