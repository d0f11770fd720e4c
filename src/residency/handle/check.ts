import { type HandleCheck, type HandleClaims, verifyHandle } from '../../seal/handle.js';
import type { JwsFault } from '../../seal/jws.js';
import type { Keyring } from '../state/keyring.js';
import type { Seal } from '../state/seal.js';
import type { WorkerState } from '../state/worker_state.js';

/** Whether a handle is authentic and current. `claims` are given only if its signature is valid. */
export interface HandleVerdict {
  readonly valid: boolean;
  readonly reason: JwsFault | 'stale_boot' | 'unknown_shard' | 'superseded' | 'not_sealed' | null;
  readonly claims: HandleClaims | null;
}

type Checked = Pick<WorkerState, 'signer' | 'shards'> & {
  readonly lifecycle: Pick<WorkerState['lifecycle'], 'lossError'>;
};

/**
 * Checks a handle. It is valid only if it is, byte for byte, a current handle of its shard, and the shard is sealed. After
 * a key rotation the previous handle also counts as current, for as long as the previous key verifies. A handle that is
 * not reissued yet stays current, whatever the grace: `ready` lists no handle that is not valid.
 */
export function checkHandle(handle: string, { signer, shards, lifecycle }: Checked): HandleVerdict {
  const check = verifySignature(handle, signer.keyring, shards);
  if (!check.ok) return { valid: false, reason: check.reason, claims: null };
  const { claims } = check;
  // Workers may share an Ed25519 key. A handle of another worker says nothing about the memory of this one.
  if (claims.iss !== signer.workerId) return { valid: false, reason: 'unknown_key', claims: null };
  const invalid = (reason: HandleVerdict['reason']): HandleVerdict => ({ valid: false, reason, claims });
  if (claims.boot_id !== signer.bootId) return invalid('stale_boot');
  const shard = shards.get(claims.shard_id);
  if (shard === undefined) return invalid('unknown_shard');
  if (shard.seal !== undefined && !isCurrent(handle, shard.seal)) return invalid('superseded');
  if (shard.state !== 'sealed' || lifecycle.lossError !== undefined) return invalid('not_sealed');
  return { valid: true, reason: null, claims };
}

/** The previous key also verifies a handle that it signed and that is not reissued yet. */
function verifySignature(handle: string, keyring: Keyring, shards: WorkerState['shards']): HandleCheck {
  const check = verifyHandle(handle, keyring.find);
  if (check.ok || check.reason !== 'unknown_key') return check;
  const own = verifyHandle(handle, keyring.findOwn);
  return own.ok && shards.get(own.claims.shard_id)?.seal?.handle === handle ? own : check;
}

const isCurrent = (handle: string, seal: Seal): boolean =>
  seal.handle === handle ||
  seal.previous.some((previous) => previous.handle === handle && performance.now() < previous.expiresAtMs);
