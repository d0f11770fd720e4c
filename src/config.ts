import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { minimumSecretBytes } from './seal/key.js';

/** Every setting of the worker, validated. Sizes in bytes, times in seconds. */
export interface Config {
  readonly simulate: boolean;
  readonly bindHost: string;
  readonly bindPort: number;
  readonly workerId: string;
  readonly logLevel: string;
  readonly apiToken: Buffer;
  readonly apiTokenFile: string;
  /** A second token, for those who poll: it may look, and change nothing. */
  readonly readToken: Buffer | undefined;
  readonly sealSecret: Buffer;
  readonly modelDir: string | undefined;
  readonly maxModelBytes: number;
  readonly commitSlots: number;
  readonly commitQueue: number;
  readonly driverTimeoutSeconds: number;
  readonly cudaDriver: string | undefined;
  readonly cudaKernels: string | undefined;
  readonly gpuDevices: readonly number[] | undefined;
  readonly auditLog: string | undefined;
  readonly auditMaxBytes: number;
  readonly readyPublic: boolean;
  readonly drainSeconds: number;
  readonly uploadIdleSeconds: number;
  readonly headersTimeoutSeconds: number;
  readonly requestsPerSecond: number;
}

/** A setting that is wrong. The message names it, and never its value where that may be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

const known = [
  'WORKER_BIND_ADDR',
  'WORKER_API_TOKEN_FILE',
  'WORKER_READ_TOKEN_FILE',
  'WORKER_SEAL_KEY_FILE',
  'WORKER_ID',
  'WORKER_LOG_LEVEL',
  'WORKER_MODEL_DIR',
  'WORKER_MAX_MODEL_BYTES',
  'WORKER_COMMIT_SLOTS',
  'WORKER_COMMIT_QUEUE',
  'WORKER_CUDA_DRIVER',
  'WORKER_CUDA_KERNELS',
  'WORKER_DRIVER_TIMEOUT_SECONDS',
  'WORKER_GPU_DEVICES',
  'WORKER_AUDIT_LOG',
  'WORKER_AUDIT_MAX_BYTES',
  'WORKER_READY_PUBLIC',
  'WORKER_DRAIN_SECONDS',
  'WORKER_UPLOAD_IDLE_SECONDS',
  'WORKER_HEADERS_TIMEOUT_SECONDS',
  'WORKER_REQUESTS_PER_SECOND',
] as const;
type Name = (typeof known)[number];

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

/**
 * Reads every setting from the environment, once. An unknown `WORKER_…` variable, a bad value or a secret that others
 * can read is refused. @throws ConfigError
 */
export function loadConfig(environment: NodeJS.ProcessEnv, options: { simulate: boolean; directory: string }): Config {
  for (const name of Object.keys(environment)) {
    if (name.startsWith('WORKER_') && !known.some((setting) => setting === name)) {
      throw new ConfigError(`${name} is no setting of this worker`);
    }
  }
  const get = (name: Name): string | undefined => environment[name] || undefined;
  const integer = (name: Name, fallback: number, minimum: number, maximum: number): number => {
    const text = get(name);
    if (text === undefined) return fallback;
    const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new ConfigError(`${name} is not an integer from ${minimum} to ${maximum}`);
  };
  const existing = (name: Name, kind: 'file' | 'directory'): string | undefined => {
    const path = get(name);
    if (path === undefined) return undefined;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (kind === 'file' ? stat?.isFile() : stat?.isDirectory()) return resolve(path);
    throw new ConfigError(`${name} names no ${kind}`);
  };

  const { host, port } = parseAddress(get('WORKER_BIND_ADDR') ?? '127.0.0.1:8001');
  const apiTokenFile = tokenFile(get('WORKER_API_TOKEN_FILE'), environment.CREDENTIALS_DIRECTORY, options);
  const apiToken = readToken('WORKER_API_TOKEN_FILE', apiTokenFile);
  const readTokenFile = get('WORKER_READ_TOKEN_FILE');
  const pollerToken = readTokenFile === undefined ? undefined : readToken('WORKER_READ_TOKEN_FILE', readTokenFile);
  if (pollerToken?.equals(apiToken)) throw new ConfigError('WORKER_READ_TOKEN_FILE holds the API token');
  const sealKeyFile = get('WORKER_SEAL_KEY_FILE');
  const workerId = get('WORKER_ID') ?? hostname();
  if (!/^[A-Za-z0-9._:-]{1,128}$/.test(workerId)) {
    throw new ConfigError('WORKER_ID is not 1 to 128 characters of A-Z a-z 0-9 . _ : -');
  }
  const logLevel = get('WORKER_LOG_LEVEL') ?? 'info';
  if (!logLevels.includes(logLevel)) throw new ConfigError(`WORKER_LOG_LEVEL is none of ${logLevels.join(', ')}`);
  const readyPublic = get('WORKER_READY_PUBLIC') ?? 'off';
  if (!['on', 'off'].includes(readyPublic)) throw new ConfigError('WORKER_READY_PUBLIC is neither on nor off');
  return {
    simulate: options.simulate,
    bindHost: host,
    bindPort: port,
    workerId,
    logLevel,
    apiToken,
    apiTokenFile,
    readToken: pollerToken,
    sealSecret: sealKeyFile === undefined ? apiToken : readSecret('WORKER_SEAL_KEY_FILE', sealKeyFile),
    modelDir: existing('WORKER_MODEL_DIR', 'directory'),
    maxModelBytes: integer('WORKER_MAX_MODEL_BYTES', 100 * gibibyte, 1, Number.MAX_SAFE_INTEGER),
    commitSlots: integer('WORKER_COMMIT_SLOTS', 32, 1, 256),
    commitQueue: integer('WORKER_COMMIT_QUEUE', 256, 0, 65_536),
    driverTimeoutSeconds: integer('WORKER_DRIVER_TIMEOUT_SECONDS', 60, 1, 3600),
    cudaDriver: get('WORKER_CUDA_DRIVER'),
    cudaKernels: existing('WORKER_CUDA_KERNELS', 'file'),
    gpuDevices: parseDevices(get('WORKER_GPU_DEVICES')),
    auditLog: get('WORKER_AUDIT_LOG'),
    auditMaxBytes: integer('WORKER_AUDIT_MAX_BYTES', 64 * mebibyte, 4096, Number.MAX_SAFE_INTEGER),
    readyPublic: readyPublic === 'on',
    drainSeconds: integer('WORKER_DRAIN_SECONDS', 30, 0, 3600),
    uploadIdleSeconds: integer('WORKER_UPLOAD_IDLE_SECONDS', 30, 1, 3600),
    headersTimeoutSeconds: integer('WORKER_HEADERS_TIMEOUT_SECONDS', 15, 1, 300),
    requestsPerSecond: integer('WORKER_REQUESTS_PER_SECOND', 1000, 1, 1_000_000),
  };
}

function parseAddress(text: string): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65535) throw new ConfigError('WORKER_BIND_ADDR is not host:port');
  return { host, port };
}

function parseDevices(text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined;
  const ordinals = text.split(',').map((part) => (/^(0|[1-9][0-9]{0,3})$/.test(part) ? Number(part) : Number.NaN));
  if (ordinals.some(Number.isNaN) || new Set(ordinals).size !== ordinals.length) {
    throw new ConfigError('WORKER_GPU_DEVICES is not a list of distinct device indexes such as 0,1');
  }
  return ordinals;
}

/** The file named, else systemd's credential, else with a simulated GPU one that is made here. */
function tokenFile(
  named: string | undefined,
  credentials: string | undefined,
  options: { simulate: boolean; directory: string },
): string {
  if (named !== undefined) return resolve(named);
  if (credentials !== undefined && existsSync(join(credentials, 'worker-token')))
    return join(credentials, 'worker-token');
  if (!options.simulate) throw new ConfigError('WORKER_API_TOKEN_FILE is not set');
  const directory = join(options.directory, '.worker');
  const path = join(directory, 'token');
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  chmodSync(path, 0o600);
  return path;
}

function readToken(name: Name, path: string): Buffer {
  const token = readSecret(name, path);
  if (/^[A-Za-z0-9\-._~+/]+=*$/.test(token.toString('latin1'))) return token;
  throw new ConfigError(`${name}: a bearer token is made of A-Z a-z 0-9 - . _ ~ + / (RFC 6750)`);
}

/** The bytes of a secret's file, without one trailing newline. */
function readSecret(name: Name, path: string): Buffer {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) throw new ConfigError(`${name}: there is no such file`);
  if ((stat.mode & 0o077) !== 0) throw new ConfigError(`${name}: others can read the file; chmod 600 it`);
  const bytes = readFileSync(path);
  const secret = bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
  if (secret.length >= minimumSecretBytes) return secret;
  throw new ConfigError(`${name}: a secret has at least ${minimumSecretBytes} bytes`);
}
