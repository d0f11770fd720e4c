import type { Origin } from '../audit/actor.js';
import { WorkerError } from '../errors.js';
import type { Inventory } from './state/worker_state.js';

/**
 * Wipes and frees a shard; waits for a verification under way. One that was lost in a restart is forgotten.
 * @throws WorkerError NOT_FOUND, SHARD_BUSY, AUDIT_UNAVAILABLE, CUDA_ERROR
 */
export async function release(inventory: Inventory, shardId: string, origin: Origin): Promise<void> {
  inventory.requireStarted();
  const lost = inventory.ledger.lost.get(shardId);
  if (lost !== undefined && inventory.shards.get(shardId) === undefined) {
    const forgotten = { shard_id: shardId, model_ref: lost.modelRef };
    inventory.ledger.forget(shardId, () => inventory.audit.append('ShardForgotten', 'info', forgotten, origin));
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
  inventory.ledger.forget(shardId, () => inventory.require('VramDeallocated', record, { reason: 'released' }, origin));
  await inventory.discard(record);
}

/** Wipes and frees whatever is here, and lets the devices go. @throws VramError when something could not be wiped */
export async function releaseAll(inventory: Inventory): Promise<void> {
  const discarded = inventory.shards.all().map((record) => {
    // One that is being released, or could not be, was written down when that began.
    if (record.state !== 'releasing') inventory.attempt('VramDeallocated', 'info', record, { reason: 'stopped' });
    return inventory.discard(record);
  });
  await Promise.allSettled(discarded);
  try {
    await inventory.driver.close();
  } finally {
    inventory.noteStop();
  }
}
