import type { DockerLogin } from '../settings/loaded_source.js';

/** Docker Hub has one name in references, another in `docker login`, and a third as a server. */
const dockerHub: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** The registry of an endpoint as references write it: a host, with its port unless that is the default one. */
export const registryOf = (endpoint: string): string => new URL(endpoint).host;

/** Whether a reference names the registry of an endpoint. */
export const isRegistryOf = (endpoint: string, registry: string): boolean =>
  namesOf(endpoint).includes(registry.toLowerCase());

/** The login for a repository in the logins of a Docker configuration: of its nearest namespace, else of its host. */
export function loginOf(
  endpoint: string,
  repository: string,
  logins: ReadonlyMap<string, DockerLogin> = new Map(),
): DockerLogin | undefined {
  const names = namesOf(endpoint);
  const segments = repository.split('/');
  for (let count = segments.length; count >= 0; count--) {
    const path = segments.slice(0, count).map((segment) => `/${segment}`);
    const login = names.map((name) => logins.get(name + path.join(''))).find((each) => each !== undefined);
    if (login !== undefined) return login;
  }
  return undefined;
}

function namesOf(endpoint: string): readonly string[] {
  const { host, hostname, port, protocol } = new URL(endpoint);
  const withPort = port === '' ? `${hostname}:${protocol === 'https:' ? 443 : 80}` : host;
  return [host, withPort, ...(dockerHub.includes(host) ? dockerHub : [])];
}
