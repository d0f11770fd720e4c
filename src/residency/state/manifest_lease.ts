import { fieldsOf, isCount, isOptional, isText } from './manifest_fields.js';

/** A process that has, or is about to get, the memory of a shard, as a later process can find it again. */
export interface ManifestLease {
  readonly leaseId: string;
  /** The memory. A shard that was read again from its file has other memory. */
  readonly allocationId: string;
  readonly uid: number;
  readonly gid: number;
  /** Null if the process is in another pid namespace. */
  readonly pid: number | null;
  /** When the process started, in clock ticks since the host's start; null if it is unknown. */
  readonly startTicks: number | null;
  readonly label: string | null;
  readonly nonce: string | null;
  readonly grantedAtMs: number;
  /** An operator has ended the connection for good. */
  readonly isRevoked: boolean;
}

export const leaseToJson = (lease: ManifestLease) => ({
  lease_id: lease.leaseId,
  allocation_id: lease.allocationId,
  uid: lease.uid,
  gid: lease.gid,
  pid: lease.pid,
  start_ticks: lease.startTicks,
  label: lease.label,
  nonce: lease.nonce,
  granted_at: new Date(lease.grantedAtMs).toISOString(),
  revoked: lease.isRevoked,
});

/** The lease that a JSON value describes, or null if it is invalid. */
export function leaseFromJson(value: unknown): ManifestLease | null {
  const fields = fieldsOf(value);
  const [leaseId, allocationId] = [fields?.get('lease_id'), fields?.get('allocation_id')];
  const [uid, gid, pid] = [fields?.get('uid'), fields?.get('gid'), fields?.get('pid')];
  const [startTicks, label, nonce] = ['start_ticks', 'label', 'nonce'].map((name) => fields?.get(name));
  const [grantedAt, isRevoked] = [fields?.get('granted_at'), fields?.get('revoked')];
  if (!isText(leaseId) || !isText(allocationId) || !isCount(uid) || !isCount(gid)) return null;
  if (!isOptional(pid, isCount) || !isOptional(startTicks, isCount)) return null;
  if (!isOptional(label, isText) || !isOptional(nonce, isText)) return null;
  const grantedAtMs = isText(grantedAt) ? Date.parse(grantedAt) : Number.NaN;
  if (Number.isNaN(grantedAtMs) || typeof isRevoked !== 'boolean') return null;
  return { leaseId, allocationId, uid, gid, pid, startTicks, label, nonce, grantedAtMs, isRevoked };
}
