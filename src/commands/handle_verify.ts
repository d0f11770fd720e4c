import { readFileSync } from 'node:fs';
import { ConfigError } from '../config/config_error.js';
import { readSecret, wipe } from '../config/secrets.js';
import { settings } from '../config/settings.js';
import { type HandleCheck, verifyHandle } from '../seal/handle.js';
import type { KeySource } from '../seal/jws.js';
import { deriveSealKey } from '../seal/key.js';
import { FileCalls } from '../storage/file_calls.js';
import { parseArguments, string } from './arguments.js';
import { type DocumentedCommand, InputError, UsageError } from './command.js';
import { handleVerifyHelp } from './help.js';
import { jwksFile } from './key_files.js';

/** The exit statuses of `handle verify`, besides those of every command. */
const statuses = { authentic: 0, notAuthentic: 1 } as const;

/** Goes to stderr with every authentic handle. */
const notice =
  'the handle is authentic, but may not be current: the worker may have restarted (boot_id), the shard may be corrupt, ' +
  'or a newer handle may exist. To check, use POST /v1/handles/verify.';

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, { 'secret-file': string, jwks: string, 'worker-id': string });
  const [handle, ...more] = positionals;
  if (handle === undefined || more.length > 0) throw new UsageError('handle verify takes one handle');
  const workerId = values['worker-id'];
  const keys = await keysFrom(values['secret-file'], values.jwks, workerId);
  const check = checkHandle(handle === '-' ? readFileSync(0, 'utf8').trim() : handle, keys, workerId);
  const reason = check.ok ? null : check.reason;
  const claims = check.ok ? check.claims : null;
  process.stdout.write(`${JSON.stringify({ authentic: check.ok, reason, current: null, claims }, null, 2)}\n`);
  if (!check.ok) return statuses.notAuthentic;
  process.stderr.write(`${notice}\n`);
  return statuses.authentic;
}

/**
 * `vram-worker handle verify HANDLE`: checks the signature with the shared secret or the worker's public keys. Writes a
 * JSON object to stdout: `authentic`, `reason`, `current` (always null, because only the worker knows) and `claims`.
 */
export const handleVerify: DocumentedCommand = { run, help: handleVerifyHelp };

/** Workers can share a key, so with a worker id the `iss` claim must match it. */
function checkHandle(handle: string, keys: KeySource, workerId: string | undefined): HandleCheck {
  const check = verifyHandle(handle, keys);
  const isOfAnotherWorker = check.ok && workerId !== undefined && check.claims.iss !== workerId;
  return isOfAnotherWorker ? { ok: false, reason: 'unknown_key' } : check;
}

async function keysFrom(
  secretFile: string | undefined,
  jwks: string | undefined,
  workerId: string | undefined,
): Promise<KeySource> {
  if ((secretFile === undefined) === (jwks === undefined))
    throw new UsageError('handle verify needs either --secret-file or --jwks');
  try {
    if (jwks !== undefined) {
      const keys = jwksFile(jwks);
      return (kid) => keys.find((key) => key.kid === kid);
    }
    if (secretFile === undefined || workerId === undefined) throw new UsageError('--secret-file requires --worker-id');
    const secret = await readSecret('--secret-file', secretFile, new FileCalls(settings.fileTimeoutSeconds.default));
    const key = deriveSealKey(secret, workerId);
    wipe(secret);
    return key;
  } catch (error) {
    throw error instanceof ConfigError ? new InputError(error.message) : error;
  }
}
