import { constants } from 'node:crypto';
import type { Server } from 'node:http';
import { createServer, type ServerOptions, type Server as TlsServer } from 'node:https';
import type { TlsIdentity } from '../../config/tls_files.js';
import type { CreateServer } from './http_server.js';
import { connectionOf } from './request_state.js';

/** HTTPS servers with one identity, which can be replaced while they listen. TLS 1.2 or later. */
export class TlsServers {
  readonly #servers = new Set<TlsServer>();
  #identity: TlsIdentity;

  constructor(identity: TlsIdentity) {
    this.#identity = identity;
  }

  /** Creates a server. The identity at this time decides whether clients must show a certificate. */
  readonly create: CreateServer = (options: ServerOptions, handler): Server => {
    const { headersTimeout } = options;
    const clients = this.#identity.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
    const handshake = headersTimeout === undefined ? {} : { handshakeTimeout: headersTimeout };
    const server = createServer({ ...options, ...clients, ...handshake, ...this.#context() }, handler);
    // Runs before Node's own listener, which emits the error again as a clientError.
    server.prependListener('tlsClientError', (_error, socket) => {
      connectionOf(socket).handshakeFailed = true;
    });
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    return server;
  };

  /**
   * Uses another identity for new connections, and closes idle ones. Takes ownership of the key and overwrites the one
   * that it no longer needs. Returns false if nothing changed.
   */
  replace(identity: TlsIdentity): boolean {
    const previous = this.#identity;
    if (isSameIdentity(identity, previous)) {
      identity.key.fill(0);
      return false;
    }
    this.#identity = identity;
    for (const server of this.#servers) {
      server.setSecureContext(this.#context());
      server.closeIdleConnections();
    }
    previous.key.fill(0);
    return true;
  }

  /** Overwrites the key in memory. Call it when the process is about to exit. */
  wipe(): void {
    this.#identity.key.fill(0);
  }

  #context() {
    const { cert, key, ca = [] } = this.#identity;
    return { cert, key, ca, minVersion: 'TLSv1.2' as const, secureOptions: constants.SSL_OP_NO_RENEGOTIATION };
  }
}

const isSameIdentity = (a: TlsIdentity, b: TlsIdentity): boolean =>
  isSame(a.cert, b.cert) && isSame(a.key, b.key) && isSame(a.ca, b.ca);

const isSame = (a: Buffer | undefined, b: Buffer | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);
