import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from './process.js';

/** A certificate in PEM and its key, with the files that they lie in. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** An authority of certificates, made by OpenSSL in a directory that goes with the test. */
export class Authority {
  readonly #directory: string;
  readonly certificate: Certificate;
  #issued = 0;

  constructor(t: Test, name = 'authority') {
    this.#directory = temporaryDirectory(t);
    const files = this.#files('ca');
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'];
    openssl('req', '-x509', ...newKey(files.keyFile), '-subj', `/CN=${name}`, ...extensions, '-out', files.certFile);
    this.certificate = read(files);
  }

  /** A certificate for 127.0.0.1, for servers and clients. */
  issue(name: string): Certificate {
    this.#issued += 1;
    const files = this.#files(`issued-${this.#issued}`);
    const request = join(this.#directory, `request-${this.#issued}`);
    const extensions = join(this.#directory, `extensions-${this.#issued}`);
    writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
    openssl('req', ...newKey(files.keyFile), '-subj', `/CN=${name}`, '-out', request);
    const authority = ['-CA', this.certificate.certFile, '-CAkey', this.certificate.keyFile, '-CAcreateserial'];
    openssl('x509', '-req', '-in', request, ...authority, '-days', '2', '-extfile', extensions, '-out', files.certFile);
    return read(files);
  }

  #files(name: string) {
    return { certFile: join(this.#directory, `${name}.crt`), keyFile: join(this.#directory, `${name}.key`) };
  }
}

const newKey = (file: string) =>
  ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file] as const;

/** OpenSSL writes keys with mode 600. */
const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

const read = (files: { certFile: string; keyFile: string }): Certificate => ({
  ...files,
  cert: readFileSync(files.certFile),
  key: readFileSync(files.keyFile),
});
