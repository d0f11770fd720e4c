import { type HandleClaims, verifyHandle } from '../../seal/handle.js';
import type { JwsFault } from '../../seal/jws.js';
import type { Seal } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';

/** Whether a handle is authentic and the one that stands; `claims` only when its signature held. */
export interface HandleVerdict {
  readonly valid: boolean;
  readonly reason: JwsFault | 'stale_boot' | 'unknown_shard' | 'superseded' | 'not_sealed' | null;
  readonly claims: HandleClaims | null;
}

type Judged = Pick<WorkerState, 'signer' | 'shards' | 'driverHealth'>;

/**
 * A handle is valid only if it is, byte for byte, one that stands for its shard, and the shard is sealed. One stands; and
 * after a change of the seal key, for as long as the key of before verifies, also the one that stood then.
 */
export function checkHandle(handle: string, { signer, shards, driverHealth: heartbeat }: Judged): HandleVerdict {
  const check = verifyHandle(handle, signer.keys.find);
  if (!check.ok) return { valid: false, reason: check.reason, claims: null };
  const { claims } = check;
  // Workers may share a private key; what another of them signed says nothing of the memory here.
  if (claims.iss !== signer.workerId) return { valid: false, reason: 'unknown_key', claims: null };
  const invalid = (reason: HandleVerdict['reason']): HandleVerdict => ({ valid: false, reason, claims });
  if (claims.boot_id !== signer.bootId) return invalid('stale_boot');
  const record = shards.get(claims.shard_id);
  if (record === undefined) return invalid('unknown_shard');
  if (record.seal !== undefined && !isCurrent(handle, record.seal)) return invalid('superseded');
  if (record.state !== 'sealed' || heartbeat.lossError !== undefined) return invalid('not_sealed');
  return { valid: true, reason: null, claims };
}

const isCurrent = (handle: string, seal: Seal): boolean =>
  seal.handle === handle ||
  seal.previous.some((former) => former.handle === handle && performance.now() < former.expiresAtMs);
