import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary_directory.js';
import { createCertificate } from './x509.js';

/** A certificate and its key in PEM, and the files that hold them. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A certificate authority, and a directory for its certificates that is removed after the test. */
export class Authority {
  readonly certificate: Certificate;
  readonly #name: string;
  readonly #directory: string;
  readonly #signingKey: KeyObject;
  #issued = 0;

  constructor(t: Test, name = 'authority') {
    this.#name = name;
    this.#directory = temporaryDirectory(t);
    const { publicKey, privateKey } = newKeyPair();
    this.#signingKey = privateKey;
    this.certificate = this.#write('ca', name, { publicKey, privateKey, hosts: [] });
  }

  /** Issues a certificate for 127.0.0.1 and the hosts, for servers and clients. */
  issue(name: string, hosts: readonly string[] = []): Certificate {
    this.#issued += 1;
    const { publicKey, privateKey } = newKeyPair();
    return this.#write(`issued-${this.#issued}`, name, { publicKey, privateKey, hosts });
  }

  #write(file: string, subject: string, { publicKey, privateKey, hosts }: Subject): Certificate {
    const signingKey = this.#signingKey;
    const isAuthority = privateKey === signingKey;
    const cert = createCertificate({ subject, issuer: this.#name, publicKey, signingKey, isAuthority, hosts });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
    const written = {
      certFile: join(this.#directory, `${file}.crt`),
      keyFile: join(this.#directory, `${file}.key`),
      cert: Buffer.from(cert),
      key: Buffer.from(key),
    };
    writeFileSync(written.certFile, written.cert);
    writeFileSync(written.keyFile, written.key, { mode: 0o600 });
    return written;
  }
}

interface Subject {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly hosts: readonly string[];
}

const newKeyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
