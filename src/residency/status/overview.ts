import { systemActor } from '../../audit/actor.js';
import { momentNow } from '../../vram/moment.js';
import type { ScrubStatus } from '../integrity/scrubber.js';
import type { LeaseState } from '../state/lease.js';
import type { Shard } from '../state/shard.js';
import type { ShardSnapshot } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { type Health, healthNow } from './blockers.js';
import { type DeviceOverview, deviceOverviews, type MemoryUse, memoryUseOf } from './device_overview.js';
import { type ReadyReport, readyReport } from './readiness.js';

/** A shard and its memory. Without a change of its memory, an equal snapshot has equal fields. */
export interface OverviewShard {
  readonly shard: ShardSnapshot;
  /** Bytes of the device, in units of its granularity. 0 if they are free already. */
  readonly deviceBytes: number;
  readonly use: MemoryUse;
  /** Null unless the shard is corrupt. */
  readonly repairStatus: string | null;
}

/** What an operator sees at a glance, at one moment. */
export interface Overview {
  /** Without handles. */
  readonly ready: ReadyReport;
  readonly health: Health;
  readonly isLeaving: boolean;
  readonly hasAuditLog: boolean;
  readonly isAuditWritable: boolean;
  readonly commitsWaiting: number;
  readonly devices: readonly DeviceOverview[];
  readonly shards: readonly OverviewShard[];
  readonly leasesByState: Readonly<Record<LeaseState, number>>;
}

/** Reports the worker as it is at this moment. */
export function overviewOf(worker: WorkerState, scrub: ScrubStatus): Overview {
  const { lifecycle, audit, options, commitQueue, leases, reservations } = worker;
  reservations.dropExpired();
  // Memory of a lost driver is no longer resident.
  const isLost = lifecycle.lossError !== undefined;
  const all = isLost ? [] : worker.shards.all();
  return {
    ready: readyReport(worker, scrub, { withHandles: false, askedAt: momentNow(), actor: systemActor }),
    health: healthNow(worker),
    isLeaving: lifecycle.isLeaving,
    hasAuditLog: options.auditLog !== undefined,
    isAuditWritable: audit.isWritable,
    commitsWaiting: commitQueue.waiting,
    devices: isLost ? [] : deviceOverviews(worker.devices.values(), all, reservations.byDevice()),
    shards: all.map(overviewShard),
    leasesByState: { ...leases.countByState },
  };
}

/** Called for all shards in one turn of the event loop, so it looks nothing up. */
const overviewShard = (shard: Shard): OverviewShard => ({
  shard: shard.snapshot(),
  deviceBytes: shard.grant.claim.bytes,
  use: memoryUseOf(shard),
  repairStatus: shard.phase.state === 'corrupt' ? shard.phase.repairStatus : null,
});

/** Two overviews with equal versions differ only in the moment. */
export interface OverviewVersion {
  /** All but the progress of transfers. */
  readonly state: string;
  readonly progress: string;
}

/** The version of the current overview. Visits no sealed shard. */
export function overviewVersionOf(worker: WorkerState): OverviewVersion {
  const { lifecycle, reservations, devices, leases, commitQueue, shards } = worker;
  reservations.dropExpired();
  const state = [
    lifecycle.revision,
    lifecycle.isLeaving,
    healthNow(worker).reasons,
    commitQueue.waiting,
    leases.countByState,
    [...devices.values()].map((device) => device.snapshot()),
    [...reservations.byDevice()],
  ];
  return {
    state: JSON.stringify(state),
    progress: shards
      .inState('receiving')
      .map(({ receivedBytes }) => receivedBytes)
      .join(),
  };
}
