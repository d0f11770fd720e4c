import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ConfigError } from './config_error.js';
import type { TlsIdentity } from './http/tls.js';
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
  demand('WORKER_TLS_CERT_FILE', 'no certificate in PEM', { cert });
  const ca = clientCaFile === undefined ? undefined : readBytes('WORKER_TLS_CLIENT_CA_FILE', clientCaFile);
  if (ca !== undefined) {
    // OpenSSL takes a file without any certificate for one with none to add.
    const pem = ca.includes('-----BEGIN ') ? ca : '-';
    demand('WORKER_TLS_CLIENT_CA_FILE', 'no certificate in PEM', { ca: pem });
  }
  const key = readPrivate('WORKER_TLS_KEY_FILE', keyFile);
  try {
    demand('WORKER_TLS_KEY_FILE', "no private key in PEM that is the certificate's", { cert, key });
  } catch (error) {
    wipe(key);
    throw error;
  }
  return { cert, key, ...(ca === undefined ? {} : { ca }) };
}

function demand(name: string, what: string, parts: SecureContextOptions): void {
  try {
    // An empty list of CAs keeps OpenSSL from reading all that it knows.
    createSecureContext({ ca: [], ...parts });
  } catch {
    throw new ConfigError(`${name}: ${what}`);
  }
}
