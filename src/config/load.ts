import { ConfigError } from './config_error.js';
import { readSealSecret, readTokens, type SecretFiles, type TokenSecrets, tokenFile, wipe } from './secrets.js';
import { type Setting, type SettingValues, settings, type ValueOf } from './settings.js';
import { readTls, type TlsFiles } from './tls_files.js';

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
  /** Undefined for plain HTTP. */
  readonly tls: TlsFiles | undefined;
}

export interface LoadOptions {
  readonly simulate: boolean;
  /** The working directory, in which `--simulate` creates a token. */
  readonly directory: string;
}

type Environment = Readonly<NodeJS.ProcessEnv>;

/** Reads every setting from the environment and checks it. @throws ConfigError that names the variable */
export function loadConfig(environment: Environment, options: LoadOptions): Config {
  checkNames(environment);
  const { bindAddress, apiTokenFile, tlsCertFile, tlsKeyFile, tlsClientCaFile, ...values } = readAll(environment);
  const secretFiles: SecretFiles = {
    apiTokenFile: tokenFile(apiTokenFile, environment.CREDENTIALS_DIRECTORY, options),
    readTokenFile: values.readTokenFile,
    sealKeyFile: values.sealKeyFile,
    sealAlgorithm: values.sealAlgorithm,
  };
  return {
    ...values,
    ...secretFiles,
    ...readTokens(secretFiles),
    simulate: options.simulate,
    bindHost: bindAddress.host,
    bindPort: bindAddress.port,
    sealSecret: readSealSecret(secretFiles),
    tls: tlsFiles(tlsCertFile, tlsKeyFile, tlsClientCaFile),
  };
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

function checkNames(environment: Environment): void {
  const known = new Set<string>(Object.values(settings).map(({ name }) => name));
  for (const name of Object.keys(environment).filter((name) => name.startsWith('WORKER_'))) {
    if (!known.has(name)) throw new ConfigError(`unknown setting ${name}`);
    // An empty value, such as that of a misspelled shell variable, must not turn a setting off.
    if (environment[name] === '') throw new ConfigError(`${name} is empty: set a value or unset it`);
  }
}

/** Reads the files once, so that the worker does not start with invalid ones. */
function tlsFiles(certFile?: string, keyFile?: string, clientCaFile?: string): TlsFiles | undefined {
  if (certFile === undefined && keyFile === undefined && clientCaFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    const problem = 'WORKER_TLS_CERT_FILE and WORKER_TLS_KEY_FILE must be set together';
    throw new ConfigError(`${problem}; WORKER_TLS_CLIENT_CA_FILE requires both`);
  }
  const files = { certFile, keyFile, clientCaFile };
  wipe(readTls(files).key);
  return files;
}
