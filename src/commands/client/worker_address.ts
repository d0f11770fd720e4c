import { readSetting } from '../../config/load.js';
import { settings } from '../../config/settings.js';
import { UsageError } from '../command.js';

/** Where a worker listens. */
export interface WorkerAddress {
  readonly host: string;
  readonly port: number;
  readonly isSecure: boolean;
}

type Environment = Readonly<NodeJS.ProcessEnv>;

/** Addresses to listen on, and the addresses that reach a worker there. */
const wildcards = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

/** The address that reaches the worker with this environment from its own host. @throws ConfigError */
export function localAddress(environment: Environment): WorkerAddress {
  const { host, port } = readSetting(settings.bindAddress, environment);
  const isSecure = (environment.WORKER_TLS_CERT_FILE ?? '') !== '';
  return { host: wildcards.get(host) ?? host, port, isSecure };
}

/**
 * The base URL of the worker: `--url`, else `VRAM_WORKER_URL`, else the address of the worker with this environment.
 * It ends in a slash. @throws UsageError, ConfigError
 */
export function workerUrl(option: string | undefined, environment: Environment): URL {
  if (option !== undefined) return parse('--url', option);
  const { VRAM_WORKER_URL: variable } = environment;
  if (variable !== undefined && variable !== '') return parse('VRAM_WORKER_URL', variable);
  const { host, port, isSecure } = localAddress(environment);
  if (port === 0) throw new UsageError('WORKER_BIND_ADDR has no fixed port: set --url');
  return new URL(`${isSecure ? 'https' : 'http'}://${authorityOf(host, port)}/`);
}

/** A host and port as URLs have them, with an IPv6 address in brackets. */
export const authorityOf = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

function parse(name: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '')
    throw new UsageError(`${name} must be a URL such as http://127.0.0.1:8001`);
  // The message does not repeat the URL, because it may contain a secret.
  if (url.username !== '' || url.password !== '')
    throw new UsageError(`${name} must not contain a user or a password: put the token into a file`);
  if (url.search !== '' || url.hash !== '') throw new UsageError(`${name} must not contain a query or a fragment`);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** Whether the URL leads to this host, by its literal name. */
export const isLoopback = ({ hostname }: URL): boolean => /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$/.test(hostname);
