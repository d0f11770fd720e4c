import type { Lease } from '../state/lease.js';
import type { WorkerState } from '../state/worker_state.js';

/**
 * Lists a lease in the manifest, so that a later process does not wipe the memory that its process reads. Only a keeper lets a
 * later process have that memory. @throws WorkerError AUDIT_UNAVAILABLE
 */
export async function listLease({ keeper, lostShards }: WorkerState, lease: Lease): Promise<void> {
  const { manifest } = lostShards;
  if (keeper === undefined || manifest === undefined || !lease.shard.exportable) return;
  const { leaseId, shard, peer, notes, grantedAt } = lease;
  const startTicks = await peer.startTicks;
  const { phase } = lease;
  if (phase.state === 'ended') return;
  const { uid, gid, pid } = peer;
  await manifest.grant({
    leaseId,
    allocationId: shard.allocationId,
    uid,
    gid,
    pid,
    startTicks,
    label: notes.label,
    nonce: notes.nonce,
    grantedAtMs: grantedAt.wallMs,
    isRevoked: phase.state === 'lingering' && phase.isRevoked,
  });
}

/**
 * Takes an ended lease off the manifest. A lease that ended because this process closes its connections stays, because its
 * process may still read the memory.
 */
export function unlistLease({ keeper, lostShards, lifecycle }: WorkerState, { leaseId, phase }: Lease): void {
  if (keeper === undefined || phase.state !== 'ended') return;
  if (phase.reason === 'disconnected' && lifecycle.isEnding) return;
  lostShards.manifest?.end(leaseId);
}
