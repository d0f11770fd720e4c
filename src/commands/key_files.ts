import { readFileSync } from 'node:fs';
import { wipe, withoutNewline } from '../config/secrets.js';
import { messageOf } from '../errors.js';
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

/** Reads at least one Ed25519 key from a JWK set, such as `/.well-known/jwks.json`. @throws InputError */
export function jwksFile(path: string): readonly PublicKey[] {
  const text = read('--jwks', path).toString();
  const keys = attempt(() => readJwks(text));
  if (keys === undefined) throw new InputError(`--jwks: ${path} is not a JWK set`);
  if (keys.length === 0) throw new InputError(`--jwks: ${path} has no Ed25519 key for signatures`);
  return keys;
}

/**
 * Reads a seal key. Returns the key of each worker id. An Ed25519 key is in PKCS#8 or SubjectPublicKeyInfo (RFC 8410),
 * PEM or DER; any other file is a secret. A public key is never used as a secret. @throws InputError
 */
export function sealKeyFile(path: string): (workerId: string) => VerifyKey {
  const bytes = read('--key-file', path);
  const pair = attempt(() => readPublicKey(bytes)) ?? attempt(() => readPrivateKey(bytes));
  if (pair !== undefined) {
    wipe(bytes);
    return () => pair;
  }
  if (bytes.includes('-----BEGIN ')) throw new InputError(`--key-file: ${path} is not an Ed25519 key`);
  if (attempt(() => readJwks(bytes.toString()))) throw new InputError(`--key-file: ${path} is a JWK set: use --jwks`);
  const secret = withoutNewline(bytes);
  if (secret.length < minimumSecretBytes)
    throw new InputError(`--key-file: ${path} is shorter than ${minimumSecretBytes} bytes`);
  return (workerId) => deriveSealKey(secret, workerId);
}

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new InputError(`${option}: ${messageOf(error)}`);
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
