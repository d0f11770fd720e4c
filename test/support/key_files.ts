import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A new Ed25519 private key in PKCS#8. */
export function newPrivateKey(format: 'pem' | 'der' = 'pem'): Buffer {
  const { privateKey } = generateKeyPairSync('ed25519');
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  return format === 'der' ? der : Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8' }));
}

/** Writes a secret to a file in a new directory that is removed after the test. */
export function secretFile(t: Test, content: string | Uint8Array, mode = 0o600): string {
  const directory = mkdtempSync(join(tmpdir(), 'vram-secret-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'secret');
  writeFileSync(path, content, { mode });
  return path;
}

/** The settings of a worker that signs with an Ed25519 key. */
export const signingWithEd25519 = (t: Test, key: Uint8Array = newPrivateKey()): NodeJS.ProcessEnv => ({
  WORKER_SEAL_ALG: 'Ed25519',
  WORKER_SEAL_KEY_FILE: secretFile(t, key),
});
