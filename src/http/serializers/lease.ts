import type { LeasePage } from '../../residency/lease/lease_service.js';
import type { LeaseSnapshot } from '../../residency/lease/snapshot.js';
import type { LeaseJson, LeaseListJson } from '../schemas/lease.js';
import { instant } from './scalars.js';

export const serializeLease = (lease: LeaseSnapshot): LeaseJson => ({
  lease_id: lease.leaseId,
  shard_id: lease.shardId,
  state: lease.state,
  uid: lease.uid,
  gid: lease.gid,
  pid: lease.pid,
  label: lease.label,
  granted_at: instant(lease.grantedAtMs),
});

export const serializeLeases = ({ leases, nextCursor }: LeasePage): LeaseListJson => ({
  leases: leases.map(serializeLease),
  next_cursor: nextCursor,
});
