import type { LeaseEvent } from '../state/lease.js';
import type { Shard } from '../state/shard.js';
import type { PhaseKeys } from '../state/shard_phase.js';
import type { WorkerState } from '../state/worker_state.js';

type Change = Pick<LeaseEvent, 'event' | 'handle' | 'deadlineMs'>;

/** Tells every holder of a shard about a change. The holder of a lease whose memory is not on its way yet gets its present state. */
export function notifyHolders({ leases }: Pick<WorkerState, 'leases'>, shard: Shard, change: Change): void {
  const { shardId } = shard.identity;
  for (const { leaseId, holder, delivery } of leases.of(shard)) {
    if (delivery !== undefined) holder?.notify({ ...change, leaseId, shardId });
  }
}

/** The change that a transition means for holders; undefined if it means none. */
export function changeOf(shard: Shard, before: PhaseKeys): Change | undefined {
  const { seal, state } = shard;
  if (before.seal === undefined || seal === undefined) return undefined;
  if (state === 'corrupt') return before.state === 'corrupt' ? undefined : { event: 'corrupt' };
  if (before.state === 'corrupt') return { event: 'repaired', handle: seal.handle };
  if (before.seal.jti !== seal.jti) return { event: 'superseded', handle: seal.handle };
  return before.seal.verifiedAt === seal.verifiedAt ? undefined : { event: 'verified' };
}
