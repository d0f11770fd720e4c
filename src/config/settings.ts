import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { sealAlgorithms } from '../seal/key.js';
import { ConfigError } from './config_error.js';
import { readSealSecret, readTokens, type SecretFiles, type Tokens, tokenFile, wipe } from './secrets.js';
import { readTls, type TlsFiles } from './tls_files.js';

export { ConfigError };

/** Every setting of the worker, validated. Sizes in bytes, times in seconds. */
export interface Config extends SecretFiles, Tokens {
  readonly simulate: boolean;
  readonly bindHost: string;
  readonly bindPort: number;
  readonly workerId: string;
  readonly logLevel: string;
  /** What the seal key is made from. */
  readonly sealSecret: Buffer;
  /** How long a seal key that was replaced still verifies. */
  readonly keyGraceSeconds: number;
  /** Undefined: plain HTTP. */
  readonly tls: TlsFiles | undefined;
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
  /** The list of shards that a restart is to bring back. */
  readonly manifest: string | undefined;
  readonly readyPublic: boolean;
  readonly drainSeconds: number;
  /** 0: sealed shards are verified only when somebody asks. */
  readonly scrubSeconds: number;
  readonly scrubBytesPerSecond: number;
  readonly uploadIdleSeconds: number;
  readonly headersTimeoutSeconds: number;
  readonly requestsPerSecond: number;
}

const known = [
  'WORKER_BIND_ADDR',
  'WORKER_API_TOKEN_FILE',
  'WORKER_READ_TOKEN_FILE',
  'WORKER_SEAL_ALG',
  'WORKER_SEAL_KEY_FILE',
  'WORKER_KEY_GRACE_SECONDS',
  'WORKER_TLS_CERT_FILE',
  'WORKER_TLS_KEY_FILE',
  'WORKER_TLS_CLIENT_CA_FILE',
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
  'WORKER_MANIFEST',
  'WORKER_READY_PUBLIC',
  'WORKER_DRAIN_SECONDS',
  'WORKER_SCRUB_SECONDS',
  'WORKER_SCRUB_BYTES_PER_SECOND',
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
    // One that came out empty by mistake must not switch off what it was to switch on.
    if (name.startsWith('WORKER_') && environment[name] === '') {
      throw new ConfigError(`${name} is empty: give it a value, or leave it out`);
    }
  }
  const get = (name: Name): string | undefined => environment[name];
  const integer = (name: Name, fallback: number, minimum: number, maximum: number): number => {
    const text = get(name);
    if (text === undefined) return fallback;
    const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new ConfigError(`${name} is not an integer from ${minimum} to ${maximum}`);
  };
  const path = (name: Name): string | undefined => {
    const text = get(name);
    return text === undefined ? undefined : resolve(text);
  };
  const existing = (name: Name, kind: 'file' | 'directory'): string | undefined => {
    const path = get(name);
    if (path === undefined) return undefined;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (kind === 'file' ? stat?.isFile() : stat?.isDirectory()) return resolve(path);
    throw new ConfigError(`${name} names no ${kind}`);
  };

  const { host, port } = bindAddress(environment);
  const sealAlgorithm = sealAlgorithms.find((word) => word === (get('WORKER_SEAL_ALG') ?? 'HS256'));
  if (sealAlgorithm === undefined) throw new ConfigError(`WORKER_SEAL_ALG is none of ${sealAlgorithms.join(', ')}`);
  const secretFiles: SecretFiles = {
    apiTokenFile: tokenFile(get('WORKER_API_TOKEN_FILE'), environment.CREDENTIALS_DIRECTORY, options),
    readTokenFile: path('WORKER_READ_TOKEN_FILE'),
    sealKeyFile: path('WORKER_SEAL_KEY_FILE'),
    sealAlgorithm,
  };
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
    ...secretFiles,
    ...readTokens(secretFiles),
    sealSecret: readSealSecret(secretFiles),
    keyGraceSeconds: integer('WORKER_KEY_GRACE_SECONDS', 3600, 0, 604_800),
    tls: tlsFiles(path),
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
    manifest: get('WORKER_MANIFEST'),
    readyPublic: readyPublic === 'on',
    drainSeconds: integer('WORKER_DRAIN_SECONDS', 30, 0, 3600),
    scrubSeconds: integer('WORKER_SCRUB_SECONDS', 3600, 0, 2_000_000),
    scrubBytesPerSecond: integer('WORKER_SCRUB_BYTES_PER_SECOND', gibibyte, 1, Number.MAX_SAFE_INTEGER),
    uploadIdleSeconds: integer('WORKER_UPLOAD_IDLE_SECONDS', 30, 1, 3600),
    headersTimeoutSeconds: integer('WORKER_HEADERS_TIMEOUT_SECONDS', 15, 1, 300),
    requestsPerSecond: integer('WORKER_REQUESTS_PER_SECOND', 1000, 1, 1_000_000),
  };
}

/** Where the worker listens. @throws ConfigError */
export function bindAddress({ WORKER_BIND_ADDR }: NodeJS.ProcessEnv): { host: string; port: number } {
  const text = WORKER_BIND_ADDR || '127.0.0.1:8001';
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

/** Certificate and key, both or neither; read once here, so that what is wrong with them stops the start. */
function tlsFiles(path: (name: Name) => string | undefined): TlsFiles | undefined {
  const certFile = path('WORKER_TLS_CERT_FILE');
  const keyFile = path('WORKER_TLS_KEY_FILE');
  const clientCaFile = path('WORKER_TLS_CLIENT_CA_FILE');
  if (certFile === undefined && keyFile === undefined && clientCaFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new ConfigError(
      'WORKER_TLS_CERT_FILE and WORKER_TLS_KEY_FILE go together, WORKER_TLS_CLIENT_CA_FILE with them',
    );
  }
  const files = { certFile, keyFile, clientCaFile };
  wipe(readTls(files).key);
  return files;
}
