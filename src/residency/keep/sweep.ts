import type { WorkerState } from '../state/worker_state.js';

/**
 * Removes what an earlier worker left and no shard needs: memory at the keeper, files of group hashes, and leases on memory that was
 * not taken over. Such memory is not wiped, because a process may read it. Never rejects.
 */
export async function sweepKept(worker: WorkerState): Promise<void> {
  endStaleLeases(worker);
  const listed = worker.lostShards.manifest?.entries().map(({ memory }) => memory?.allocationId ?? '') ?? [];
  await sweepHashes(worker, new Set(listed)).catch((error: unknown) => {
    worker.log('warn', 'obsolete group hashes cannot be removed', { err: error });
  });
  // New shards do not wait for the keeper.
  sweepKeeper(worker, new Set(listed)).catch((error: unknown) => {
    worker.log('warn', 'obsolete kept memory cannot be dropped', { err: error });
  });
}

async function sweepKeeper(worker: WorkerState, listed: ReadonlySet<string>): Promise<void> {
  const { keeper, shards, signer, audit } = worker;
  const kept = (await keeper?.list()) ?? [];
  const present = new Set(shards.all().map(({ allocationId }) => allocationId));
  for (const { workerId, allocationId } of kept) {
    if (workerId !== signer.workerId || listed.has(allocationId) || present.has(allocationId)) continue;
    worker.log('warn', 'dropping kept memory that belongs to no shard', { allocation_id: allocationId });
    await keeper?.drop(allocationId);
    await audit.appendBestEffort('KeptMemoryDropped', 'warning', { allocation_id: allocationId });
  }
}

async function sweepHashes(worker: WorkerState, listed: ReadonlySet<string>): Promise<void> {
  const removed = (await worker.hashFiles?.sweep(listed)) ?? 0;
  if (removed > 0) worker.log('info', 'removed obsolete group hashes', { files: removed });
}

function endStaleLeases({ lostShards: { manifest }, leases }: WorkerState): void {
  for (const { leaseId } of manifest?.leases() ?? []) if (leases.get(leaseId) === undefined) manifest?.end(leaseId);
}
