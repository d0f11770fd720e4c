import type { Server } from 'node:http';
import { createServer, type ServerOptions, type Server as TlsServer } from 'node:https';
import type { TlsIdentity } from '../../config/tls_files.js';
import { markFailedHandshake } from './handshake.js';
import type { CreateServer } from './http_server.js';

/** HTTPS servers of one identity, which can be replaced while they listen. TLS 1.2 or later. */
export class TlsServers {
  readonly #servers = new Set<TlsServer>();
  #identity: TlsIdentity;

  constructor(identity: TlsIdentity) {
    this.#identity = identity;
  }

  /** Makes a server. Whether clients are asked for a certificate is fixed here, by the identity it starts with. */
  readonly create: CreateServer = (options: ServerOptions, handler): Server => {
    const { headersTimeout } = options;
    const clients = this.#identity.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
    // A handshake is given the time that a head is given.
    const handshake = headersTimeout === undefined ? {} : { handshakeTimeout: headersTimeout };
    const server = createServer({ ...options, ...clients, ...handshake, ...this.#context() }, handler);
    // Before Node's own listener, which passes the error on as a clientError.
    server.prependListener('tlsClientError', (_error, socket) => markFailedHandshake(socket));
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    return server;
  };

  /** Other certificates for connections to come; those that stand idle are closed. False where they are the same. */
  replace(identity: TlsIdentity): boolean {
    const before = this.#identity;
    if (!isSame(identity.cert, before.cert) || !isSame(identity.key, before.key) || !isSame(identity.ca, before.ca)) {
      this.#identity = identity;
      for (const server of this.#servers) {
        server.setSecureContext(this.#context());
        server.closeIdleConnections();
      }
      before.key.fill(0);
      return true;
    }
    identity.key.fill(0);
    return false;
  }

  /** Overwrites the key's file as it was read: the process is about to end. */
  wipe(): void {
    this.#identity.key.fill(0);
  }

  #context() {
    const { cert, key, ca = [] } = this.#identity;
    return { cert, key, ca, minVersion: 'TLSv1.2' as const };
  }
}

const isSame = (a: Buffer | undefined, b: Buffer | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);
