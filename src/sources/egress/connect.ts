import { constants } from 'node:crypto';
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, checkServerIdentity, connect as connectTls } from 'node:tls';
import { AbortScope } from './abort_scope.js';
import { canonicalAddress } from './address_rules.js';
import type { Clock } from './clock.js';
import { faultOf, forbidden, timedOut } from './fault.js';
import { SecureStream } from './secure_stream.js';

/** One address of several gets this time, so that a dead one does not use up the time of the connection. */
const addressTimeoutMs = 5_000;

export interface ConnectOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The trusted authorities in PEM; undefined for those of Node. */
  readonly ca: Buffer | undefined;
}

/** An open connection to a source. */
export type Connection = Socket | SecureStream;

/**
 * Connects to the first of the checked addresses that answers, with TLS for https. Nothing is sent before the address of
 * the connection is compared with the checked one. The only code of the worker that opens outgoing connections.
 * @throws SourceFault, or the reason of the signal
 */
export async function connect(url: URL, addresses: readonly string[], options: ConnectOptions): Promise<Connection> {
  const connection = await connectToAny(url, addresses, options);
  if (connection instanceof SecureStream) await settled(connection.socket, 'secureConnect', options.signal);
  return connection;
}

async function connectToAny(
  url: URL,
  addresses: readonly string[],
  { clock, signal, ca }: ConnectOptions,
): Promise<Connection> {
  let last: unknown;
  for (const address of addresses) {
    const scope = new AbortScope(signal);
    if (addresses.length > 1) {
      scope.abortAfter(clock, addressTimeoutMs, () => timedOut('The source did not accept the connection in time'));
    }
    try {
      scope.signal.throwIfAborted();
      const connection = url.protocol === 'http:' ? openPlain(url, address) : openSecure(url, address, ca);
      const socket = connection instanceof SecureStream ? connection.socket : connection;
      // Before all other listeners, one of which sends the first bytes of TLS.
      socket.prependOnceListener('connect', () => requireAddress(socket, address));
      await settled(socket, 'connect', scope.signal);
      return connection;
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

/** An address, never a name, so that Node looks nothing up. */
const placeOf = (url: URL, address: string) => ({ host: address, port: portOf(url) });

function openPlain(url: URL, address: string): Socket {
  return connectTcp({ ...placeOf(url, address), noDelay: true, autoSelectFamily: false });
}

function openSecure(url: URL, address: string, ca: Buffer | undefined): SecureStream {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return new SecureStream((onread) => {
    // The types of Node lack onread here.
    const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
      ...placeOf(url, address),
      onread,
      // RFC 6066 §3 allows names alone.
      servername: isIP(host) === 0 ? host : '',
      checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
      // Explicit, because environment variables of Node can change the default.
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      // A server of TLS 1.2 could ask for handshakes without end.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ALPNProtocols: ['http/1.1'],
      ...(ca === undefined ? {} : { ca }),
    };
    return connectTls(options).setNoDelay(true);
  });
}

function requireAddress(socket: Socket, address: string): void {
  if (canonicalAddress(socket.remoteAddress ?? '') === canonicalAddress(address)) return;
  socket.destroy(forbidden('The connection leads to another address than the checked one'));
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
      if (socket.destroyed) return;
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
    if (socket.closed) onClose();
  });
}
