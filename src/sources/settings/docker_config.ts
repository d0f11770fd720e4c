import { Secret } from '../egress/secret.js';
import type { DockerLogin } from './loaded_source.js';

/**
 * The logins of a parsed `config.json` of Docker: `auths`, each with `auth` in base64, or `username` and `password`.
 * Entries of credential helpers hold no secret, and are left out. Undefined if the form is another. The keys of the map are
 * hosts, or hosts with the path of a repository or a namespace.
 */
export function dockerLogins(value: unknown): ReadonlyMap<string, DockerLogin> | undefined {
  const auths = fieldOf(value, 'auths');
  if (typeof auths !== 'object' || auths === null || Array.isArray(auths)) return undefined;
  const logins = new Map<string, DockerLogin>();
  for (const [server, entry] of Object.entries(auths)) {
    const login = loginOf(entry);
    if (login !== undefined) logins.set(scopeOf(server), login);
  }
  return logins;
}

function loginOf(entry: unknown): DockerLogin | undefined {
  const [auth, username, password] = [fieldOf(entry, 'auth'), fieldOf(entry, 'username'), fieldOf(entry, 'password')];
  if (typeof username === 'string' && typeof password === 'string') return { username, password: new Secret(password) };
  if (typeof auth !== 'string') return undefined;
  const decoded = Buffer.from(auth, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 1) return undefined;
  return { username: decoded.slice(0, colon), password: new Secret(decoded.slice(colon + 1)) };
}

/**
 * `docker login` writes hosts, and URLs such as `https://index.docker.io/v1/`, whose path has no meaning. `podman login`
 * also writes `host/namespace`, whose login must not be used for other namespaces.
 */
function scopeOf(server: string): string {
  const [, isUrl, host = '', path = ''] = /^(https?:\/\/)?([^/]*)\/?(.*?)\/*$/s.exec(server) ?? [];
  return isUrl !== undefined || path === '' ? host.toLowerCase() : `${host.toLowerCase()}/${path}`;
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
