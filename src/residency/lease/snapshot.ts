import type { AuditFields } from '../../audit/event.js';
import type { Lease, LeaseState } from '../state/lease.js';

/** A lease at one moment, as a plain value. */
export interface LeaseSnapshot {
  readonly leaseId: string;
  readonly shardId: string;
  readonly state: LeaseState;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number | null;
  readonly label: string | null;
  readonly grantedAtMs: number;
}

export const leaseSnapshot = ({ leaseId, shard, state, peer, notes, grantedAt }: Lease): LeaseSnapshot => ({
  leaseId,
  shardId: shard.identity.shardId,
  state,
  uid: peer.uid,
  gid: peer.gid,
  pid: peer.pid,
  label: notes.label,
  grantedAtMs: grantedAt.wallMs,
});

/** How many leases one audit entry or error lists. The count covers all of them. */
export const maxListedLeases = 100;

/** A lease in audit entries. */
export const leaseFields = ({ leaseId, peer, notes }: Lease): AuditFields => ({
  lease_id: leaseId,
  peer: { uid: peer.uid, gid: peer.gid, pid: peer.pid },
  label: notes.label,
});
