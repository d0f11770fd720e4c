import { readFileSync } from 'node:fs';
import { wipe, withoutNewline } from '../config/secrets.js';
import { readJwks } from '../seal/jwk.js';
import {
  deriveSealKey,
  minimumSecretBytes,
  type PublicKey,
  readPrivateKey,
  readPublicKey,
  type VerifyKey,
} from '../seal/key.js';
import { InputError } from './command.js';

/** The Ed25519 keys of a JWK set, as `/.well-known/jwks.json` gives them; at least one. @throws InputError */
export function jwksFile(path: string): readonly PublicKey[] {
  try {
    const keys = readJwks(readFileSync(path, 'utf8'));
    if (keys.length === 0) throw new TypeError('no Ed25519 key for signatures is in it');
    return keys;
  } catch (error) {
    throw new InputError(`--jwks: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * What a worker signs with, from the file of its seal key, by the worker's id: an Ed25519 key in PKCS#8, or only its
 * public half (SubjectPublicKeyInfo, RFC 8410), PEM or DER; else the bytes are a secret. What the file is decides: what
 * anybody may know is never taken for a secret. @throws InputError
 */
export function sealKeyFile(path: string): (workerId: string) => VerifyKey {
  const bytes = read(path);
  const pair = attempt(() => readPublicKey(bytes)) ?? attempt(() => readPrivateKey(bytes));
  if (pair !== undefined) {
    wipe(bytes);
    return () => pair;
  }
  if (bytes.includes('-----BEGIN ')) throw new InputError(`--key-file: ${path} holds no Ed25519 key`);
  if (attempt(() => readJwks(bytes.toString())))
    throw new InputError(`--key-file: ${path} is a key set: give it as --jwks`);
  const secret = withoutNewline(bytes);
  if (secret.length < minimumSecretBytes) throw new InputError(`--key-file: ${path} is too short for a secret`);
  return (workerId) => deriveSealKey(secret, workerId);
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new InputError(`--key-file: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
