import type { Actor } from '../audit/actor.js';
import { WorkerError } from '../errors.js';
import type { WorkerState } from './state/worker_state.js';

/**
 * Wipes and frees a shard; waits for a verification under way. One that was lost in a restart is forgotten.
 * @throws WorkerError NOT_FOUND, SHARD_BUSY, AUDIT_UNAVAILABLE, CUDA_ERROR
 */
export async function release(inventory: WorkerState, shardId: string, actor: Actor): Promise<void> {
  inventory.requireStarted();
  const lost = inventory.lostShards.byId.get(shardId);
  if (lost !== undefined && inventory.shards.get(shardId) === undefined) {
    const forgotten = { shard_id: shardId, model_ref: lost.modelRef };
    inventory.lostShards.forget(shardId, () =>
      inventory.audit.appendRequired('ShardForgotten', 'info', forgotten, actor),
    );
    inventory.bumpRevision();
    return;
  }
  const record = inventory.shards.require(shardId);
  const { phase } = record;
  const stuck = phase.state === 'releasing' && phase.attempt === null;
  if (record.seal === undefined && !stuck) {
    throw new WorkerError('SHARD_BUSY', `the shard is ${record.state}`, { retryAfterMs: 1000 });
  }
  inventory.requireAudit();
  inventory.lostShards.forget(shardId, () =>
    inventory.appendRequired('VramDeallocated', record, { reason: 'released' }, actor),
  );
  await inventory.discard(record);
}

/** Wipes and frees whatever is here, and lets the devices go. @throws VramError when something could not be wiped */
export async function releaseAll(inventory: WorkerState): Promise<void> {
  const discarded = inventory.shards.all().map((record) => {
    // One that is being released, or could not be, was written down when that began.
    if (record.state !== 'releasing')
      inventory.appendBestEffort('VramDeallocated', 'info', record, { reason: 'stopped' });
    return inventory.discard(record);
  });
  await Promise.allSettled(discarded);
  try {
    await inventory.driver.close();
  } finally {
    inventory.noteStop();
  }
}
