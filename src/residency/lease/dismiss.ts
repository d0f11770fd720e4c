import { WorkerError } from '../../errors.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { notifyHolders } from './notify.js';
import { maxListedLeases } from './snapshot.js';

/** @throws WorkerError SHARD_LEASED if other processes have the shard */
export function requireUnleased({ leases }: WorkerState, shard: Shard): void {
  const count = leases.count(shard);
  if (count === 0) return;
  const leaseIds = leases
    .of(shard)
    .slice(0, maxListedLeases)
    .map(({ leaseId }) => leaseId);
  throw new WorkerError('SHARD_LEASED', `The shard has ${count} leases: end them, or use force`, { leaseIds });
}

/** Tells the holders to detach, and closes their connections after the grace period. */
export function dismissHolders(worker: WorkerState, shard: Shard, graceSeconds: number): void {
  notifyHolders(worker, shard, { event: 'releasing', deadlineMs: graceSeconds * 1000 });
  setTimeout(() => {
    for (const { holder } of worker.leases.of(shard)) holder?.disconnect();
  }, graceSeconds * 1000).unref();
}
