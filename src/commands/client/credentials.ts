import { access, open } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../../errors.js';
import { InputError } from '../command.js';
import { isLoopback } from './worker_address.js';

/** The bearer token of requests, and where it came from, for messages. */
export interface Token {
  readonly text: string;
  readonly from: string;
}

/** The files of `--ca-file`, `--cert-file` and `--key-file`. */
export interface TlsFileNames {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** Options of `node:tls`. */
export interface TlsIdentity {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

type Environment = Readonly<NodeJS.ProcessEnv>;

/** More than a bundle of all public CAs. */
const maxBytes = 1024 ** 2;

/**
 * The token: `--token-file`, else `VRAM_WORKER_TOKEN_FILE`, else `VRAM_WORKER_TOKEN`. For a worker on this host, also
 * `WORKER_API_TOKEN_FILE`, and the file `.worker/token` that `serve --simulate` creates. @throws InputError
 */
export async function readToken(
  file: string | undefined,
  url: URL,
  environment: Environment,
): Promise<Token | undefined> {
  if (file !== undefined) return tokenFile('--token-file', file);
  const { VRAM_WORKER_TOKEN_FILE, VRAM_WORKER_TOKEN, WORKER_API_TOKEN_FILE } = environment;
  if (VRAM_WORKER_TOKEN_FILE) return tokenFile('VRAM_WORKER_TOKEN_FILE', VRAM_WORKER_TOKEN_FILE);
  if (VRAM_WORKER_TOKEN) return { text: checked('VRAM_WORKER_TOKEN', VRAM_WORKER_TOKEN), from: 'VRAM_WORKER_TOKEN' };
  // The token of the local worker must not reach another host.
  if (!isLoopback(url)) return undefined;
  if (WORKER_API_TOKEN_FILE) return tokenFile('WORKER_API_TOKEN_FILE', WORKER_API_TOKEN_FILE);
  const simulated = '.worker/token';
  return (await exists(simulated)) ? tokenFile('the token file', simulated) : undefined;
}

/** Reads the certificates and the key. @throws InputError */
export async function readTlsIdentity({ caFile, certFile, keyFile }: TlsFileNames): Promise<TlsIdentity> {
  const identity = {
    ...(caFile === undefined ? {} : { ca: await read('--ca-file', caFile) }),
    ...(certFile === undefined ? {} : { cert: await read('--cert-file', certFile) }),
    ...(keyFile === undefined ? {} : { key: await read('--key-file', keyFile) }),
  };
  if (identity.ca?.includes('-----BEGIN ') === false) throw new InputError(`--ca-file: ${caFile} is not in PEM`);
  try {
    createSecureContext(identity);
  } catch (error) {
    throw new InputError(`--ca-file, --cert-file or --key-file is invalid: ${messageOf(error)}`);
  }
  return identity;
}

async function tokenFile(name: string, path: string): Promise<Token> {
  return { text: checked(`${name} ${path}`, (await read(name, path)).toString('latin1')), from: path };
}

/** A token without the newline that editors add. @throws InputError */
function checked(name: string, text: string): string {
  const token = text.replace(/\r?\n$/, '');
  if (/^[A-Za-z0-9._~+/-]+=*$/.test(token)) return token;
  throw new InputError(`${name}: not a bearer token (RFC 6750): use A-Z a-z 0-9 - . _ ~ + /`);
}

async function read(name: string, path: string): Promise<Buffer> {
  const file = await open(path).catch((error: unknown) => {
    throw new InputError(`${name}: ${messageOf(error)}`);
  });
  try {
    const buffer = Buffer.alloc(maxBytes);
    let length = 0;
    for (let count = -1; count !== 0 && length < maxBytes; length += count)
      count = (await file.read(buffer, length, maxBytes - length, null)).bytesRead;
    if (length === maxBytes) throw new InputError(`${name}: ${path} is larger than 1 MiB`);
    return buffer.subarray(0, length);
  } catch (error) {
    throw error instanceof InputError ? error : new InputError(`${name}: ${messageOf(error)}`);
  } finally {
    await file.close();
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
