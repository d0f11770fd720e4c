import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { TlsIdentity } from '../http/server/tls_server.js';
import { ConfigError } from './config_error.js';
import { readBytes, readPrivate, wipe } from './secrets.js';

/** Where certificate and key lie; with a CA of clients, only those with a certificate of it get in. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | undefined;
}

/** @throws ConfigError saying which file is wrong, or that certificate and key do not belong together */
export function readTls({ certFile, keyFile, clientCaFile }: TlsFiles): TlsIdentity {
  const cert = readBytes('WORKER_TLS_CERT_FILE', certFile);
  demand('WORKER_TLS_CERT_FILE', 'no certificate in PEM', () => createSecureContext({ ca: [], cert }));
  const ca = clientCaFile === undefined ? undefined : readBytes('WORKER_TLS_CLIENT_CA_FILE', clientCaFile);
  // OpenSSL takes a file of CAs in which it finds none for one that adds none.
  demand(
    'WORKER_TLS_CLIENT_CA_FILE',
    'no certificate in PEM',
    () => ca === undefined || new X509Certificate(pemOf(ca)),
  );
  const key = readPrivate('WORKER_TLS_KEY_FILE', keyFile);
  try {
    const pair = { ca: [], cert, key };
    demand('WORKER_TLS_KEY_FILE', "no private key in PEM that is the certificate's", () => createSecureContext(pair));
  } catch (error) {
    wipe(key);
    throw error;
  }
  return { cert, key, ...(ca === undefined ? {} : { ca }) };
}

/** X509Certificate would take DER too, which a server does not. */
function pemOf(bytes: Buffer): Buffer {
  const start = bytes.indexOf('-----BEGIN CERTIFICATE-----');
  return start === -1 ? Buffer.alloc(0) : bytes.subarray(start);
}

function demand(name: string, what: string, attempt: () => unknown): void {
  try {
    attempt();
  } catch {
    throw new ConfigError(`${name}: ${what}`);
  }
}
