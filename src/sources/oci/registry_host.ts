import type { DockerLogin } from '../settings/loaded_source.js';

/** Docker Hub has one name in references, another in `docker login`, and a third as a server. */
const dockerHub: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** The registry of an endpoint as references write it: a host, with its port unless that is the default one. */
export const registryOf = (endpoint: string): string => new URL(endpoint).host;

/** Whether a reference names the registry of an endpoint. */
export const isRegistryOf = (endpoint: string, registry: string): boolean =>
  namesOf(endpoint).includes(registry.toLowerCase());

/** The login for an endpoint in the logins of a Docker configuration. */
export function loginOf(
  endpoint: string,
  logins: ReadonlyMap<string, DockerLogin> | undefined,
): DockerLogin | undefined {
  return namesOf(endpoint)
    .map((name) => logins?.get(name))
    .find((login) => login !== undefined);
}

function namesOf(endpoint: string): readonly string[] {
  const { host, hostname, port, protocol } = new URL(endpoint);
  const withPort = port === '' ? `${hostname}:${protocol === 'https:' ? 443 : 80}` : host;
  return [host, withPort, ...(dockerHub.includes(host) ? dockerHub : [])];
}
