import { Secret } from '../sources/egress/secret.js';
import { parseUniqueJson } from '../sources/egress/unique_json.js';
import { checkS3Credentials, checkSources, SettingsError } from '../sources/settings/check.js';
import { dockerLogins } from '../sources/settings/docker_config.js';
import type { LoadedSource, S3Credentials, SourceFiles } from '../sources/settings/loaded_source.js';
import type { SourceSettings } from '../sources/settings/schema.js';
import type { FileCalls } from '../storage/file_calls.js';
import { ConfigError } from './config_error.js';
import { readPrivate, readUnwritable } from './private_file.js';
import { withoutNewline } from './secrets.js';
import { pemOf } from './tls_files.js';
import { requireTrustedDirectories } from './trusted_directories.js';

const setting = 'WORKER_SOURCES_FILE';

/** The sources of the settings file, and every file that decides about them. */
export interface Sources {
  readonly sources: readonly LoadedSource[];
  readonly paths: readonly string[];
}

/**
 * Reads `WORKER_SOURCES_FILE` and the files that it names. `onPaths` gets their paths before they are read. No other user may be able to write or replace them.
 * @throws ConfigError that names the source and the field, FileTimeoutError
 */
export async function readSources(
  path: string,
  files: FileCalls,
  onPaths: (paths: readonly string[]) => void = () => undefined,
): Promise<Sources> {
  await requireTrustedDirectories(setting, path, files);
  const bytes = await readUnwritable(setting, path, files);
  const list = checked(setting, () => checkSources(jsonOf(setting, bytes)));
  const paths = [path, ...list.flatMap((source) => Object.values(pathsOf(source)))];
  onPaths(paths);
  const sources: LoadedSource[] = [];
  for (const settings of list) sources.push({ settings, files: await readFiles(settings, files) });
  return { sources, paths };
}

/** The files that a source names, by their field. */
function pathsOf(source: SourceSettings): Record<string, string> {
  const fields = ['token_file', 'docker_config_file', 'credentials_file', 'ca_file'];
  return Object.fromEntries(
    Object.entries(source).filter((entry): entry is [string, string] => fields.includes(entry[0])),
  );
}

async function readFiles(source: SourceSettings, files: FileCalls): Promise<SourceFiles> {
  let read: SourceFiles = {};
  for (const [field, path] of Object.entries(pathsOf(source))) {
    const name = `${setting}: ${source.name}: ${field}`;
    await requireTrustedDirectories(name, path, files);
    if (field === 'ca_file') read = { ...read, ca: authorities(name, await readUnwritable(name, path, files)) };
    else read = { ...read, ...secretOf(name, field, await readPrivate(name, path, files)) };
  }
  return read;
}

/** The secrets of a file. Wipes its bytes. @throws ConfigError */
function secretOf(name: string, field: string, bytes: Buffer): SourceFiles {
  try {
    if (field === 'token_file') return { token: tokenOf(name, bytes) };
    if (field === 'credentials_file') return { s3: s3Of(name, bytes) };
    const docker = dockerLogins(jsonOf(name, bytes));
    if (docker === undefined) throw new ConfigError(`${name} is not a config.json of Docker with auths`);
    return { docker };
  } finally {
    bytes.fill(0);
  }
}

function tokenOf(name: string, bytes: Buffer): Secret {
  const text = withoutNewline(bytes).toString('latin1');
  if (/^[A-Za-z0-9._~+/-]+=*$/.test(text)) return new Secret(text);
  throw new ConfigError(`${name} is not a bearer token (RFC 6750): use A-Z a-z 0-9 - . _ ~ + /`);
}

function s3Of(name: string, bytes: Buffer): S3Credentials {
  const content = checked(name, () => checkS3Credentials(jsonOf(name, bytes)));
  const { access_key_id, secret_access_key, session_token } = content;
  return {
    accessKeyId: access_key_id,
    secretAccessKey: new Secret(secret_access_key),
    sessionToken: session_token === undefined ? undefined : new Secret(session_token),
  };
}

function authorities(name: string, bytes: Buffer): Buffer {
  const pem = pemOf(bytes);
  if (pem.length === 0) throw new ConfigError(`${name} is not a PEM certificate`);
  return bytes;
}

function jsonOf(name: string, bytes: Buffer): unknown {
  const value = parseUniqueJson(bytes);
  if (value === undefined) throw new ConfigError(`${name} is not valid JSON, or has a duplicate key`);
  return value;
}

/** Names the file in the error of a check. */
function checked<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof SettingsError ? new ConfigError(`${name}: ${error.message}`) : error;
  }
}
