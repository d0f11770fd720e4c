import { createSecureContext } from 'node:tls';
import { ConfigError } from './config_error.js';
import { readBytes, readPrivate, wipe } from './secrets.js';

/** Where certificate and key lie; with a CA of clients, only those with a certificate of it get in. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | undefined;
}

/** What a TLS server is made with, and made anew with when the files change. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly minVersion: 'TLSv1.2';
}

/** @throws ConfigError saying which file is wrong, or that certificate and key do not belong together */
export function readTls({ certFile, keyFile, clientCaFile }: TlsFiles): TlsMaterial {
  const cert = readBytes('WORKER_TLS_CERT_FILE', certFile);
  demand('WORKER_TLS_CERT_FILE', 'no certificate in PEM', () => createSecureContext({ cert }));
  const ca = clientCaFile === undefined ? undefined : readBytes('WORKER_TLS_CLIENT_CA_FILE', clientCaFile);
  if (ca?.includes('-----BEGIN ') === false) throw new ConfigError('WORKER_TLS_CLIENT_CA_FILE: no certificate in PEM');
  demand('WORKER_TLS_CLIENT_CA_FILE', 'no certificate in PEM', () =>
    createSecureContext(ca === undefined ? {} : { ca }),
  );
  const key = readPrivate('WORKER_TLS_KEY_FILE', keyFile);
  try {
    demand('WORKER_TLS_KEY_FILE', "no private key in PEM that is the certificate's", () =>
      createSecureContext({ cert, key }),
    );
  } catch (error) {
    wipe(key);
    throw error;
  }
  return { cert, key, ...(ca === undefined ? {} : { ca }), minVersion: 'TLSv1.2' };
}

function demand(name: string, what: string, attempt: () => unknown): void {
  try {
    attempt();
  } catch {
    throw new ConfigError(`${name}: ${what}`);
  }
}
