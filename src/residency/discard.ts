import { isKept } from './keep/keep.js';
import type { Shard } from './state/shard.js';
import type { WorkerState } from './state/worker_state.js';

/** How often freeing is tried before the shard is left `releasing`, for `ReleaseRetries`. */
const freeAttempts = 3;

/**
 * Wipes and frees a shard's memory, then removes the shard. If the driver refuses, the shard stays `releasing`, and
 * `ReleaseRetries` tries again. Concurrent calls share one attempt. @throws the driver's error
 */
export function discard(worker: WorkerState, shard: Shard): Promise<void> {
  const { phase } = shard;
  if (phase.state === 'releasing' && phase.attempt !== null) return phase.attempt;
  const attempt = tryDiscard(worker, shard, phase.state === 'releasing');
  shard.beginRelease(attempt);
  return attempt;
}

async function tryDiscard(worker: WorkerState, shard: Shard, isRetry: boolean): Promise<void> {
  const { shardId: shard_id } = shard.identity;
  try {
    await free(worker, shard);
    worker.shards.remove(shard);
    if (isRetry) worker.log('info', 'memory is free after a retry', { shard_id });
  } catch (error) {
    shard.releaseFailed();
    if (!isRetry) worker.log('error', 'memory cannot be freed; retrying every second', { shard_id, err: error });
    throw worker.driverHealth.report(error);
  }
}

/**
 * Wipes and frees the memory. Memory that another process has waits for its end. At shutdown such memory is left to the process,
 * and kept memory to the keeper.
 */
async function free(worker: WorkerState, shard: Shard): Promise<void> {
  shard.verification?.cancel();
  await shard.verification?.report.catch(() => undefined);
  await shard.repair;
  const isLeft = (await isLeftToKeeper(worker, shard)) || (await isLeftToProcesses(worker, shard));
  await freeOrLeave(shard, isLeft);
  if (isLeft) {
    worker.keeper?.forget(shard.allocationId);
  } else {
    recordFreed(worker, shard);
    if (shard.layout !== undefined) void worker.hashFiles?.remove(shard.allocationId);
  }
  shard.grant.release();
}

/**
 * Wipes and frees the memory of a shard that was never sealed. Its claim stays. After an error the memory is still allocated.
 * @throws the driver's error
 */
export const freeUnsealed = (shard: Shard): Promise<void> => freeOrLeave(shard, false);

async function freeOrLeave(shard: Shard, isLeft: boolean): Promise<void> {
  const { claim } = shard.grant;
  // A query of the device that sees the memory free must not count it as allocated too.
  claim.markReleasing();
  for (let attempt = 1; shard.allocation !== undefined; attempt++) {
    try {
      await (isLeft ? shard.allocation.leave() : shard.allocation.free());
      shard.allocation = undefined;
    } catch (error) {
      if (attempt < freeAttempts) continue;
      claim.markAllocated();
      throw error;
    }
  }
  claim.markFree();
}

/** Whether the worker stops, and the next one can take the memory over from the keeper. */
async function isLeftToKeeper(worker: WorkerState, shard: Shard): Promise<boolean> {
  const { lifecycle, keeper, leases } = worker;
  if (!lifecycle.isEnding || !isKept(keeper, shard)) return false;
  await leases.settle(shard);
  recordLeft(worker, shard, { kept: true });
  return true;
}

/** Waits until no other process has the memory. True if the worker stops first, and must not wipe it. */
async function isLeftToProcesses(worker: WorkerState, shard: Shard): Promise<boolean> {
  const { leases, lifecycle } = worker;
  if (leases.count(shard) === 0) return false;
  await leases.settle(shard);
  if (leases.count(shard) === 0) return false;
  shard.setZombie(true);
  while (leases.count(shard) > 0 && !lifecycle.isEnding) await leases.changed();
  shard.setZombie(false);
  if (leases.count(shard) === 0) return false;
  recordLeft(worker, shard, { kept: false });
  return true;
}

function recordLeft({ leases, shardAudit }: WorkerState, shard: Shard, { kept }: { kept: boolean }): void {
  const fields = { leases: leases.count(shard), kept, allocation_id: shard.allocationId };
  void shardAudit.appendBestEffort({ event: 'ShardLeft', severity: kept ? 'info' : 'warning', fields }, shard);
}

/** Writes the entry about freed memory, unless it was written before. */
function recordFreed({ shardAudit }: WorkerState, shard: Shard): void {
  const { unrecordedReason: reason } = shard;
  shard.unrecordedReason = undefined;
  if (reason === undefined) return;
  void shardAudit.appendBestEffort({ event: 'VramDeallocated', severity: 'info', fields: { reason } }, shard);
}
