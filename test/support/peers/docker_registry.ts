import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Authority } from '../certificates.js';
import { freePort } from '../free_port.js';
import { temporaryDirectory } from '../temporary_directory.js';
import { startProgram } from './program.js';

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** How the registry authorizes requests. */
export type RegistryAuthorization =
  | { readonly kind: 'none' }
  | { readonly kind: 'htpasswd'; readonly login: Login }
  | { readonly kind: 'token'; readonly realm: string; readonly issuer: string; readonly authorityFile: string };

export interface DockerRegistry {
  /** `https://127.0.0.1:port` */
  readonly endpoint: string;
  /** `127.0.0.1:port` */
  readonly host: string;
  /** The folder with the blobs. */
  readonly storage: string;
}

/** The name of the registry in tokens. */
export const tokenService = 'registry.test';

/** Runs docker-registry (CNCF distribution) with TLS until the test ends. */
export async function startDockerRegistry(
  t: Pick<Test, 'teardown'>,
  authority: Authority,
  authorization: RegistryAuthorization,
): Promise<DockerRegistry> {
  const directory = temporaryDirectory(t);
  const storage = join(directory, 'storage');
  mkdirSync(storage);
  const host = `127.0.0.1:${await freePort()}`;
  const { certFile, keyFile } = authority.issue('registry');
  const file = join(directory, 'config.json');
  // JSON is also YAML, which the registry reads.
  const config = {
    version: '0.1',
    log: { accesslog: { disabled: true }, level: 'warn' },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: host, tls: { certificate: certFile, key: keyFile } },
    ...authOf(authorization, directory),
  };
  writeFileSync(file, JSON.stringify(config));
  const endpoint = `https://${host}`;
  await startProgram(t, ['docker-registry', 'serve', file], {
    env: { OTEL_TRACES_EXPORTER: 'none' },
    isReady: () => answers(`${endpoint}/v2/`, authority.certificate.cert),
  });
  return { endpoint, host, storage };
}

function authOf(authorization: RegistryAuthorization, directory: string): Record<string, unknown> {
  if (authorization.kind === 'none') return {};
  if (authorization.kind === 'token') {
    const { realm, issuer, authorityFile } = authorization;
    return { auth: { token: { realm, issuer, service: tokenService, rootcertbundle: authorityFile } } };
  }
  const path = join(directory, 'htpasswd');
  const { username, password } = authorization.login;
  // The registry accepts bcrypt alone.
  writeFileSync(path, execFileSync('htpasswd', ['-inBC', '5', username], { input: password }));
  return { auth: { htpasswd: { realm: 'Registry "Realm"', path } } };
}

const answers = (url: string, ca: Buffer): Promise<boolean> =>
  new Promise((resolve, reject) => {
    request(url, { ca }, (response) => {
      response.resume();
      resolve(true);
    })
      .on('error', reject)
      .end();
  });
