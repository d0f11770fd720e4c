import { type HandleClaims, verifyHandle } from '../seal/handle.js';
import type { JwsFault } from '../seal/jws.js';
import type { Inventory } from './inventory.js';

/** Whether a handle is authentic and the one that stands; `claims` only when its signature held. */
export interface HandleVerdict {
  readonly valid: boolean;
  readonly reason: JwsFault | 'stale_boot' | 'unknown_shard' | 'superseded' | 'not_sealed' | null;
  readonly claims: HandleClaims | null;
}

type Judged = Pick<Inventory, 'worker' | 'shards' | 'heartbeat'>;

/** A handle is valid only if it is, byte for byte, the one that stands for its shard, and the shard is sealed. */
export function judge(handle: string, { worker, shards, heartbeat }: Judged): HandleVerdict {
  const check = verifyHandle(handle, worker.key);
  if (!check.ok) return { valid: false, reason: check.reason, claims: null };
  const { claims } = check;
  const invalid = (reason: HandleVerdict['reason']): HandleVerdict => ({ valid: false, reason, claims });
  if (claims.boot_id !== worker.bootId) return invalid('stale_boot');
  const record = shards.get(claims.shard_id);
  if (record === undefined) return invalid('unknown_shard');
  if (record.seal !== undefined && record.seal.handle !== handle) return invalid('superseded');
  if (record.state !== 'sealed' || heartbeat.lost !== undefined) return invalid('not_sealed');
  return { valid: true, reason: null, claims };
}
