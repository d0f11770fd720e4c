import { WorkerError } from '../errors.js';
import type { Inventory } from './inventory.js';

/**
 * Wipes and frees a shard; waits for a verification under way. One that was lost in a restart is forgotten.
 * @throws WorkerError NOT_FOUND, SHARD_BUSY, AUDIT_UNAVAILABLE, CUDA_ERROR
 */
export async function release(inventory: Inventory, shardId: string): Promise<void> {
  inventory.requireStarted();
  const lost = inventory.ledger.lost.get(shardId);
  if (lost !== undefined && inventory.shards.get(shardId) === undefined) {
    const forgotten = { shard_id: shardId, model_ref: lost.modelRef };
    inventory.ledger.forget(shardId, () => inventory.audit.append('ShardForgotten', 'info', forgotten));
    inventory.changed();
    return;
  }
  const record = inventory.shards.require(shardId);
  const { phase } = record;
  const stuck = phase.state === 'releasing' && phase.attempt === null;
  if (record.seal === undefined && !stuck) {
    throw new WorkerError('SHARD_BUSY', `the shard is ${record.state}`, { retryAfterMs: 1000 });
  }
  inventory.requireAudit();
  const fields = { vram_bytes: record.vramBytes };
  inventory.ledger.forget(shardId, () => inventory.require('VramDeallocated', record, fields));
  await inventory.discard(record);
}
