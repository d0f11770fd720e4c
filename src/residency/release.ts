import type { Actor } from '../audit/actor.js';
import { WorkerError } from '../errors.js';
import type { Shard } from './state/shard.js';
import type { WorkerState } from './state/worker_state.js';

/** How often freeing is tried before the shard is left `releasing`, for a later DELETE. */
const freeAttempts = 3;

/**
 * Wipes and frees a shard. A verification in progress ends first. A lost shard is forgotten instead.
 * @throws WorkerError NOT_FOUND, SHARD_BUSY, AUDIT_UNAVAILABLE, CUDA_ERROR
 */
export async function release(worker: WorkerState, shardId: string, actor: Actor): Promise<void> {
  worker.lifecycle.requireStarted();
  const { lostShards, audit, shardAudit } = worker;
  const lost = lostShards.byId.get(shardId);
  if (lost !== undefined && worker.shards.get(shardId) === undefined) {
    const fields = { shard_id: shardId, model_ref: lost.modelRef };
    lostShards.forget(shardId, () => audit.appendRequired('ShardForgotten', 'info', fields, actor));
    worker.lifecycle.bumpRevision();
    return;
  }
  const shard = worker.shards.require(shardId);
  const { phase } = shard;
  const isStuck = phase.state === 'releasing' && phase.attempt === null;
  if (shard.seal === undefined && !isStuck) {
    throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`, { retryAfterMs: 1000 });
  }
  worker.requireAudit();
  const fields = { reason: 'released' };
  lostShards.forget(shardId, () => shardAudit.appendRequired('VramDeallocated', shard, fields, actor));
  await discard(worker, shard);
}

/** Wipes and frees every shard, and closes the driver. @throws VramError if some memory could not be wiped */
export async function releaseAll(worker: WorkerState): Promise<void> {
  const discarded = worker.shards.all().map((shard) => {
    // The entry for a shard in `releasing` was written when its release began.
    if (shard.state !== 'releasing') {
      const entry = { event: 'VramDeallocated', severity: 'info', fields: { reason: 'stopped' } } as const;
      worker.shardAudit.appendBestEffort(entry, shard);
    }
    return discard(worker, shard);
  });
  await Promise.allSettled(discarded);
  try {
    await worker.driver.close();
  } finally {
    closeAudit(worker);
  }
}

/** Writes the last entries of this process and closes the audit log. */
export function closeAudit({ authFailures, audit, signer }: WorkerState): void {
  authFailures.flush();
  audit.appendBestEffort('WorkerStopped', 'info', { boot_id: signer.bootId });
  audit.close();
}

/**
 * Wipes and frees a shard's memory, then removes the shard. If the driver refuses, the shard stays `releasing`. Concurrent
 * calls share one attempt. @throws the driver's error
 */
export function discard(worker: WorkerState, shard: Shard): Promise<void> {
  const { phase } = shard;
  if (phase.state === 'releasing' && phase.attempt !== null) return phase.attempt;
  const attempt = tryDiscard(worker, shard);
  shard.beginRelease(attempt);
  worker.lifecycle.bumpRevision();
  return attempt;
}

async function tryDiscard(worker: WorkerState, shard: Shard): Promise<void> {
  try {
    await free(shard);
    worker.shards.remove(shard);
  } catch (error) {
    shard.releaseFailed();
    throw worker.driverHealth.report(error);
  } finally {
    worker.lifecycle.bumpRevision();
  }
}

async function free(shard: Shard): Promise<void> {
  shard.verification?.cancel();
  await shard.verification?.report.catch(() => undefined);
  await shard.repair;
  for (let attempt = 1; shard.allocation !== undefined; attempt++) {
    try {
      await shard.allocation.free();
      shard.allocation = undefined;
    } catch (error) {
      if (attempt === freeAttempts) throw error;
    }
  }
  shard.grant.release();
}
