import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { FileCalls } from '../storage/file_calls.js';
import { ConfigError } from './config_error.js';
import { readBytes, readPrivate } from './private_file.js';
import { wipe } from './secrets.js';

/** The paths of the TLS identity. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | undefined;
}

/** A certificate and its private key, both in PEM. */
export interface TlsIdentity {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** In PEM. If it is set, each client must show a certificate that this authority issued. */
  readonly ca?: Buffer;
}

/**
 * Reads the files and checks that certificate and key match. @throws ConfigError or FileTimeoutError that names the
 * invalid file
 */
export async function readTls({ certFile, keyFile, clientCaFile }: TlsFiles, files: FileCalls): Promise<TlsIdentity> {
  const cert = await readBytes('WORKER_TLS_CERT_FILE', certFile, files);
  mustParse('WORKER_TLS_CERT_FILE is not a PEM certificate', () => createSecureContext({ ca: [], cert }));
  const ca = clientCaFile === undefined ? undefined : await readBytes('WORKER_TLS_CLIENT_CA_FILE', clientCaFile, files);
  // OpenSSL accepts a CA file without a certificate, so parse one.
  mustParse(
    'WORKER_TLS_CLIENT_CA_FILE is not a PEM certificate',
    () => ca === undefined || new X509Certificate(pemOf(ca)),
  );
  const key = await readPrivate('WORKER_TLS_KEY_FILE', keyFile, files);
  try {
    const pair = { ca: [], cert, key };
    mustParse('WORKER_TLS_KEY_FILE is not the PEM private key of the certificate', () => createSecureContext(pair));
  } catch (error) {
    wipe(key);
    throw error;
  }
  return { cert, key, ...(ca === undefined ? {} : { ca }) };
}

/** X509Certificate also accepts DER, which a TLS server does not. */
export function pemOf(bytes: Buffer): Buffer {
  const start = bytes.indexOf('-----BEGIN CERTIFICATE-----');
  return start === -1 ? Buffer.alloc(0) : bytes.subarray(start);
}

function mustParse(problem: string, parse: () => unknown): void {
  try {
    parse();
  } catch {
    throw new ConfigError(problem);
  }
}
