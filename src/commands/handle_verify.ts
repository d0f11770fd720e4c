import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ConfigError } from '../config/config_error.js';
import { readSecret, wipe } from '../config/secrets.js';
import { type HandleCheck, verifyHandle } from '../seal/handle.js';
import type { KeySource } from '../seal/jws.js';
import { deriveSealKey } from '../seal/key.js';
import { type Command, InputError, UsageError } from './command.js';
import { jwksFile } from './key_files.js';

/** Exit statuses of the command, besides those that all commands have. */
const statuses = { authentic: 0, refused: 1 } as const;

/** What only the worker knows; said with every handle that is authentic. */
const offline =
  'authentic, which is not to say current: whether the worker has restarted since (boot_id), whether the shard is still ' +
  'there and good, and whether another handle took the place of this one, only the worker can say (POST /v1/handles/verify)';

/**
 * `vram-worker handle verify HANDLE`: whether a worker signed it, by the shared secret or by the worker's public keys.
 * Writes a JSON object to standard output: `authentic`, `reason`, `current` (always null: not known here) and `claims`.
 */
export const handleVerify: Command = async (args) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'secret-file': { type: 'string' }, jwks: { type: 'string' }, 'worker-id': { type: 'string' } },
  });
  const [given, ...more] = positionals;
  if (given === undefined || more.length > 0) throw new UsageError('handle verify takes one handle');
  const workerId = values['worker-id'];
  const keys = keysFrom(values['secret-file'], values.jwks, workerId);
  const check = judge(given === '-' ? readFileSync(0, 'utf8').trim() : given, keys, workerId);
  const reason = check.ok ? null : check.reason;
  const claims = check.ok ? check.claims : null;
  process.stdout.write(`${JSON.stringify({ authentic: check.ok, reason, current: null, claims }, null, 2)}\n`);
  if (!check.ok) return statuses.refused;
  process.stderr.write(`${offline}\n`);
  return statuses.authentic;
};

/** One key for all that a worker may have signed is not enough where workers share it: the claims say who did. */
function judge(handle: string, keys: KeySource, workerId: string | undefined): HandleCheck {
  const check = verifyHandle(handle, keys);
  const elsewhere = check.ok && workerId !== undefined && check.claims.iss !== workerId;
  return elsewhere ? { ok: false, reason: 'unknown_key' } : check;
}

function keysFrom(secretFile: string | undefined, jwks: string | undefined, workerId: string | undefined): KeySource {
  if ((secretFile === undefined) === (jwks === undefined)) throw new UsageError('give --secret-file or --jwks');
  try {
    if (jwks !== undefined) {
      const keys = jwksFile(jwks);
      return (kid) => keys.find((key) => key.kid === kid);
    }
    if (secretFile === undefined || workerId === undefined) throw new UsageError('--secret-file needs --worker-id');
    const secret = readSecret('--secret-file', secretFile);
    const key = deriveSealKey(secret, workerId);
    wipe(secret);
    return key;
  } catch (error) {
    throw error instanceof ConfigError ? new InputError(error.message) : error;
  }
}
