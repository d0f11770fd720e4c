import { stat } from 'node:fs/promises';
import { FileCalls } from '../storage/file_calls.js';
import { ConfigError } from './config_error.js';
import { requireResponse } from './mount_probe.js';
import {
  apiTokenFileOf,
  readAttachToken,
  readKeeperToken,
  readSealSecret,
  readTokens,
  type SecretFiles,
  type TokenSecrets,
  wipe,
} from './secrets.js';
import { isServiceLink } from './service_links.js';
import type { Setting, ValueOf } from './setting.js';
import { type SettingValues, settings } from './settings.js';
import type { Sources } from './sources_file.js';
import { readTls, type TlsFiles } from './tls_files.js';
import { requireTrustedDirectories } from './trusted_directories.js';
import { isDerivedWorkerId } from './worker_id.js';

type Plain = Omit<
  SettingValues,
  'bindAddress' | 'apiTokenFile' | 'tlsCertFile' | 'tlsKeyFile' | 'tlsClientCaFile' | keyof SecretFiles
>;

/** Every setting of the worker, validated, with the secrets that its files hold. */
export interface Config extends Plain, SecretFiles, TokenSecrets {
  readonly simulate: boolean;
  readonly bindHost: string;
  readonly bindPort: number;
  /** The source of the seal key. */
  readonly sealSecret: Buffer;
  /** The token of attaching processes; undefined if they need none. */
  readonly attachToken: Buffer | undefined;
  /** The token of the keeper; undefined without one. */
  readonly keeperToken: Buffer | undefined;
  /** The remote sources, with their credentials. */
  readonly sources: Sources;
  /** Undefined for plain HTTP. */
  readonly tls: TlsFiles | undefined;
  /** For the log. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  readonly simulate: boolean;
  /** The working directory, in which `--simulate` creates a token. */
  readonly directory: string;
}

type Environment = Readonly<NodeJS.ProcessEnv>;

/**
 * Reads every setting from the environment and checks it. Each file is read within `WORKER_FILE_TIMEOUT_SECONDS`.
 * @throws ConfigError that names the variable, FileCreationError, FileTimeoutError
 */
export async function loadConfig(environment: Environment, options: LoadOptions): Promise<Config> {
  const serviceLinks = checkNames(environment);
  const { bindAddress, apiTokenFile, tlsCertFile, tlsKeyFile, tlsClientCaFile, ...values } = readAll(environment);
  const files = new FileCalls(values.fileTimeoutSeconds);
  await requireFiles(values, files);
  const secretFiles: SecretFiles = {
    ...(await apiTokenFileOf(apiTokenFile, environment.CREDENTIALS_DIRECTORY, { ...options, files })),
    readTokenFile: values.readTokenFile,
    attachTokenFile: values.attachTokenFile,
    keeperTokenFile: values.keeperTokenFile,
    sealKeyFile: values.sealKeyFile,
    sealAlgorithm: values.sealAlgorithm,
  };
  const config = {
    ...values,
    ...secretFiles,
    ...(await readTokens(secretFiles, files)),
    simulate: options.simulate,
    bindHost: bindAddress.host,
    bindPort: bindAddress.port,
    sealSecret: await readSealSecret(secretFiles, files),
    attachToken: await readAttachToken(secretFiles, files),
    keeperToken: await readKeeperToken(secretFiles, files),
    tls: await tlsFiles({ certFile: tlsCertFile, keyFile: tlsKeyFile, clientCaFile: tlsClientCaFile }, files),
    sources: await sourcesOf(values.sourcesFile, files),
    warnings: warningsOf(environment, values.workerId, serviceLinks),
  };
  for (const [name, path] of filesOf(config)) await requireTrustedDirectories(name, path, files);
  requireAttachSocket(config);
  requireKeeper(config);
  return config;
}

/** Without the file, its schema and the checks are not loaded. */
async function sourcesOf(path: string | undefined, files: FileCalls): Promise<Sources> {
  if (path === undefined) return { sources: [], paths: [] };
  return (await import('./sources_file.js')).readSources(path, files);
}

/**
 * Checks that the file system of each path responds, before this process makes a call that may never return.
 * @throws ConfigError, FileTimeoutError
 */
export async function requireResponses(environment: Environment): Promise<void> {
  checkNames(environment);
  const values = readAll(environment);
  const probes = pathsOf(values).map(({ name, path }) => requireResponse(name, path, values.fileTimeoutSeconds));
  await Promise.all(probes);
}

/** The settings that are paths. */
function pathsOf(values: Readonly<Record<string, unknown>>): (Pick<Setting, 'name' | 'type'> & { path: string })[] {
  return Object.entries<Setting>(settings).flatMap(([key, { name, type }]) => {
    const path = values[key];
    return type.path === undefined || typeof path !== 'string' ? [] : [{ name, type, path }];
  });
}

/** Checks that each path names what it must. @throws ConfigError, FileTimeoutError */
async function requireFiles(values: Readonly<Record<string, unknown>>, files: FileCalls): Promise<void> {
  for (const { name, type, path } of pathsOf(values)) {
    if (type.path === 'any') continue;
    const found = await files.run(name, () => stat(path).catch(() => undefined));
    const isRight = type.path === 'file' ? found?.isFile() : found?.isDirectory();
    if (isRight !== true) throw new ConfigError(`${name} must be ${type.description}`);
  }
}

/** The files that decide about the worker, by the names for errors. Not the models: their digests protect them. */
function filesOf({ apiTokenName, apiTokenFile, tls, ...config }: Config): [string, string][] {
  const files: [string, string | undefined][] = [
    [apiTokenName, apiTokenFile],
    ['WORKER_READ_TOKEN_FILE', config.readTokenFile],
    ['WORKER_ATTACH_TOKEN_FILE', config.attachTokenFile],
    ['WORKER_ATTACH_SOCKET', config.attachSocket],
    ['WORKER_KEEPER_TOKEN_FILE', config.keeperTokenFile],
    ['WORKER_KEEPER_SOCKET', config.keeperSocket],
    ['WORKER_SEAL_KEY_FILE', config.sealKeyFile],
    ['WORKER_TLS_CERT_FILE', tls?.certFile],
    ['WORKER_TLS_KEY_FILE', tls?.keyFile],
    ['WORKER_TLS_CLIENT_CA_FILE', tls?.clientCaFile],
    ['WORKER_MANIFEST', config.manifest],
    ['WORKER_AUDIT_LOG', config.auditLog],
    ['WORKER_CUDA_KERNELS', config.cudaKernels],
    // The dynamic linker searches for a name without a slash.
    ['WORKER_CUDA_DRIVER', config.cudaDriver?.includes('/') ? config.cudaDriver : undefined],
  ];
  return files.flatMap(([name, path]) => (path === undefined ? [] : [[name, path]]));
}

/** The settings of the attach socket have no effect without it, so setting them alone is a mistake. @throws ConfigError */
function requireAttachSocket({ attachSocket, attachGroup, attachUids, attachTokenFile }: Config): void {
  const others = {
    WORKER_ATTACH_GROUP: attachGroup,
    WORKER_ATTACH_UIDS: attachUids,
    WORKER_ATTACH_TOKEN_FILE: attachTokenFile,
  };
  const [name] = Object.entries(others).find(([, value]) => value !== undefined) ?? [];
  if (attachSocket === undefined && name !== undefined)
    throw new ConfigError(`${name} has no effect: set WORKER_ATTACH_SOCKET`);
}

/** The keeper's memory is of use only to a worker that knows its shards after a restart. @throws ConfigError */
function requireKeeper({ keeperSocket, keeperTokenFile, manifest }: Config): void {
  if (keeperSocket === undefined && keeperTokenFile !== undefined)
    throw new ConfigError('WORKER_KEEPER_TOKEN_FILE has no effect: set WORKER_KEEPER_SOCKET');
  if (keeperSocket === undefined) return;
  if (keeperTokenFile === undefined)
    throw new ConfigError('WORKER_KEEPER_TOKEN_FILE is not set: WORKER_KEEPER_SOCKET needs it');
  if (manifest === undefined) throw new ConfigError('WORKER_MANIFEST is not set: WORKER_KEEPER_SOCKET needs it');
}

function warningsOf(environment: Environment, workerId: string, serviceLinks: readonly string[]): string[] {
  const warnings = [];
  if (serviceLinks.length > 0) {
    const names = serviceLinks.join(', ');
    warnings.push(`ignored variables of Kubernetes service links: ${names}; set enableServiceLinks to false`);
  }
  if (environment.WORKER_ID === undefined && isDerivedWorkerId(workerId)) {
    warnings.push(`the host name is not a valid worker id: the id is ${workerId}; set WORKER_ID to choose another`);
  }
  return warnings;
}

/** The value of one setting. An empty variable counts as unset here. @throws ConfigError */
export function readSetting<S extends Setting>(setting: S, environment: Environment): ValueOf<S> {
  const { name, type, default: standard } = setting;
  const text = environment[name] || (typeof standard === 'function' ? standard() : standard?.toString());
  const value = text === undefined ? undefined : type.parse(text);
  if (text !== undefined && value === undefined) throw new ConfigError(`${name} must be ${type.description}`);
  return value as ValueOf<S>;
}

function readAll(environment: Environment): SettingValues {
  const values = Object.entries(settings).map(([key, setting]) => [key, readSetting(setting, environment)]);
  // The entries come from the same table as the type.
  return Object.fromEntries(values) as SettingValues;
}

/** Checks the names of all variables. Returns those that Kubernetes set, which are not settings. @throws ConfigError */
export function checkNames(environment: Environment): string[] {
  const known = new Set<string>(Object.values(settings).map(({ name }) => name));
  const serviceLinks = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('WORKER_')) continue;
    if (isServiceLink(name, value ?? '')) serviceLinks.push(name);
    else if (!known.has(name)) throw new ConfigError(`unknown setting ${name}`);
    // An empty value, such as that of a misspelled shell variable, must not turn a setting off.
    else if (value === '') throw new ConfigError(`${name} is empty: set a value or unset it`);
  }
  return serviceLinks;
}

type NamedTlsFiles = { readonly [Key in keyof TlsFiles]: string | undefined };

/** Reads the files once, so that the worker does not start with invalid ones. */
async function tlsFiles(named: NamedTlsFiles, files: FileCalls): Promise<TlsFiles | undefined> {
  const { certFile, keyFile, clientCaFile } = named;
  if (certFile === undefined && keyFile === undefined && clientCaFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    const problem = 'WORKER_TLS_CERT_FILE and WORKER_TLS_KEY_FILE must be set together';
    throw new ConfigError(`${problem}; WORKER_TLS_CLIENT_CA_FILE requires both`);
  }
  const tls = { certFile, keyFile, clientCaFile };
  wipe((await readTls(tls, files)).key);
  return tls;
}
