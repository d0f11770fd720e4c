import { randomBytes } from 'node:crypto';
import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { codeOf } from '../errors.js';
import { minimumSecretBytes, type SealAlgorithm, sealKeyOf } from '../seal/key.js';
import type { FileCalls } from '../storage/file_calls.js';
import { ConfigError, FileCreationError } from './config_error.js';
import { readPrivate } from './private_file.js';

/** The paths of the secrets. They are fixed for the life of the process; the contents may be replaced. */
export interface SecretFiles {
  readonly apiTokenFile: string;
  /** What errors call the file of the API token. */
  readonly apiTokenName: string;
  readonly readTokenFile: string | undefined;
  /** The token of attaching processes. */
  readonly attachTokenFile: string | undefined;
  /** The token between the worker and the keeper. */
  readonly keeperTokenFile: string | undefined;
  readonly sealKeyFile: string | undefined;
  readonly sealAlgorithm: SealAlgorithm;
}

/** The bytes of the tokens. */
export interface TokenSecrets {
  readonly apiToken: Buffer;
  /** A second, read-only token. */
  readonly readToken: Buffer | undefined;
}

/** Reads both tokens from their files. @throws ConfigError, FileTimeoutError */
export async function readTokens(secretFiles: SecretFiles, files: FileCalls): Promise<TokenSecrets> {
  const { apiTokenFile, apiTokenName, readTokenFile } = secretFiles;
  const apiToken = await readToken(apiTokenName, apiTokenFile, files);
  if (readTokenFile === undefined) return { apiToken, readToken: undefined };
  try {
    const readOnly = await readToken('WORKER_READ_TOKEN_FILE', readTokenFile, files);
    if (!readOnly.equals(apiToken)) return { apiToken, readToken: readOnly };
    wipe(readOnly);
    throw new ConfigError('WORKER_READ_TOKEN_FILE holds the API token: use another token');
  } catch (error) {
    wipe(apiToken);
    throw error;
  }
}

/** Reads the token of attaching processes; undefined if they need none. @throws ConfigError, FileTimeoutError */
export async function readAttachToken({ attachTokenFile }: SecretFiles, files: FileCalls): Promise<Buffer | undefined> {
  return attachTokenFile === undefined ? undefined : readToken('WORKER_ATTACH_TOKEN_FILE', attachTokenFile, files);
}

/** Reads the token between the worker and the keeper; undefined without a keeper. @throws ConfigError, FileTimeoutError */
export async function readKeeperToken(
  { keeperTokenFile }: Pick<SecretFiles, 'keeperTokenFile'>,
  files: FileCalls,
): Promise<Buffer | undefined> {
  return keeperTokenFile === undefined ? undefined : readToken('WORKER_KEEPER_TOKEN_FILE', keeperTokenFile, files);
}

/**
 * Reads the source of the seal key: for HS256 a secret, by default the API token; for Ed25519 a private key in PKCS#8.
 * @throws ConfigError, FileTimeoutError
 */
export async function readSealSecret(secretFiles: SecretFiles, files: FileCalls): Promise<Buffer> {
  const { apiTokenFile, apiTokenName, sealKeyFile, sealAlgorithm } = secretFiles;
  if (sealAlgorithm === 'HS256') {
    if (sealKeyFile === undefined) return readToken(apiTokenName, apiTokenFile, files);
    return readSecret('WORKER_SEAL_KEY_FILE', sealKeyFile, files);
  }
  if (sealKeyFile === undefined) throw new ConfigError('WORKER_SEAL_KEY_FILE is not set: Ed25519 needs its own key');
  const bytes = await readPrivate('WORKER_SEAL_KEY_FILE', sealKeyFile, files);
  try {
    sealKeyOf(sealAlgorithm, bytes, '');
    return bytes;
  } catch {
    bytes.fill(0);
    throw new ConfigError('WORKER_SEAL_KEY_FILE is not an Ed25519 private key in PKCS#8 (PEM or DER)');
  }
}

/** Overwrites buffers that held secrets. */
export function wipe(...buffers: readonly (Buffer | undefined)[]): void {
  for (const buffer of buffers) buffer?.fill(0);
}

/**
 * The bytes of a secret file, without one trailing newline. Errors call the file `name`.
 * @throws ConfigError, FileTimeoutError
 */
export async function readSecret(name: string, path: string, files: FileCalls): Promise<Buffer> {
  const bytes = await readPrivate(name, path, files);
  const secret = withoutNewline(bytes);
  if (secret.length >= minimumSecretBytes) return secret;
  wipe(bytes);
  throw new ConfigError(`${name} must hold at least ${minimumSecretBytes} bytes`);
}

/** A view of the bytes before one trailing newline, which editors add. */
export const withoutNewline = (bytes: Buffer): Buffer => (bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes);

type ApiTokenFile = Pick<SecretFiles, 'apiTokenFile' | 'apiTokenName'>;

/** The file of the API token: the named file, systemd's credential, or with `--simulate` a file that it creates. */
export async function apiTokenFileOf(
  named: string | undefined,
  credentials: string | undefined,
  options: { simulate: boolean; directory: string; files: FileCalls },
): Promise<ApiTokenFile> {
  const { simulate, directory, files } = options;
  if (named !== undefined) return { apiTokenFile: resolve(named), apiTokenName: 'WORKER_API_TOKEN_FILE' };
  const credential = join(credentials ?? '', 'worker-token');
  const apiTokenName = 'the systemd credential worker-token';
  if (credentials !== undefined && (await files.run(apiTokenName, () => exists(credential))))
    return { apiTokenFile: credential, apiTokenName };
  if (!simulate) throw new ConfigError('WORKER_API_TOKEN_FILE is not set: name the file of a token, or use --simulate');
  return simulationToken(directory, files);
}

/** Creates the token file of `--simulate`, unless it exists. */
async function simulationToken(parent: string, files: FileCalls): Promise<ApiTokenFile> {
  const apiTokenName = 'the token file .worker/token';
  const directory = join(parent, '.worker');
  const path = join(directory, 'token');
  await files.run(apiTokenName, async () => {
    if (!(await exists(path))) await createToken(directory, path);
  });
  return { apiTokenFile: path, apiTokenName };
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** @throws FileCreationError */
async function createToken(directory: string, path: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
    await chmod(path, 0o600);
  } catch (cause) {
    throw new FileCreationError(`${path} cannot be created: ${codeOf(cause)}: set WORKER_API_TOKEN_FILE`, { cause });
  }
}

async function readToken(name: string, path: string, files: FileCalls): Promise<Buffer> {
  const token = await readSecret(name, path, files);
  if (isBearer(token)) return token;
  wipe(token);
  throw new ConfigError(`${name} is not a bearer token (RFC 6750): use A-Z a-z 0-9 - . _ ~ + /`);
}

/** `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`. Takes bytes: a string cannot be wiped. */
function isBearer(token: Buffer): boolean {
  const padding = token.indexOf('=');
  const body = padding === -1 ? token : token.subarray(0, padding);
  return body.length > 0 && body.every(isTokenByte) && token.subarray(body.length).every((byte) => byte === 0x3d);
}

const tokenBytes = new Set(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/'));
const isTokenByte = (byte: number): boolean => tokenBytes.has(byte);
