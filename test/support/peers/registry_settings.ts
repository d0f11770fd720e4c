import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Authority } from '../certificates.js';
import { temporaryDirectory } from '../temporary_directory.js';
import type { DockerRegistry, Login } from './docker_registry.js';

export interface RegistrySettings {
  readonly registry: DockerRegistry;
  readonly authority: Authority;
  readonly login: Login;
  /** Fields of the source that differ from the usual ones. */
  readonly changes?: Readonly<Record<string, unknown>>;
}

/** The files of a worker that reads a registry as the source `lab`: `WORKER_SOURCES_FILE`, and that of `docker login`. */
export function writeRegistrySettings(t: Test, { registry, authority, login, changes }: RegistrySettings) {
  const directory = temporaryDirectory(t);
  const authFile = join(directory, 'config.json');
  const auths = { [registry.host]: { auth: base64Of(login) } };
  writeFileSync(authFile, JSON.stringify({ auths }), { mode: 0o600 });
  const source = {
    name: 'lab',
    type: 'oci',
    endpoint: registry.endpoint,
    docker_config_file: authFile,
    ca_file: authority.certificate.certFile,
    addresses: ['127.0.0.0/8'],
    ...changes,
  };
  const sourcesFile = join(directory, 'sources.json');
  writeFileSync(sourcesFile, JSON.stringify({ sources: [source] }), { mode: 0o644 });
  return { sourcesFile, authFile };
}

/** The credentials of Basic authorization. */
export const base64Of = ({ username, password }: Login): string =>
  Buffer.from(`${username}:${password}`).toString('base64');
