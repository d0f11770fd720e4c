import type { ScrubStatus } from '../integrity/scrubber.js';
import type { DeviceMemory } from '../state/device_memory.js';
import type { LeaseState } from '../state/lease.js';
import type { ShardState } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { couldBeReady } from './readiness.js';

/** Current figures for metrics. `used`, `reserved` and `free` add up to the memory of a device. */
export interface ResidencyStats {
  readonly bytesByDeviceAndState: readonly {
    readonly gpuDevice: number;
    readonly state: 'used' | 'reserved' | 'free';
    readonly bytes: number;
  }[];
  readonly shardsByState: Readonly<Record<ShardState, number>>;
  readonly leasesByState: Readonly<Record<LeaseState, number>>;
  readonly zombieBytes: readonly { readonly gpuDevice: number; readonly bytes: number }[];
  readonly commitsWaiting: number;
  /** Whether a report about any model would be ready. */
  readonly isReady: boolean;
  readonly models: { readonly ready: number; readonly other: number };
  readonly lostShards: number;
  readonly isAuditWritable: boolean;
  readonly scrub: ScrubStatus;
  readonly oldestVerifiedAtMs: number | null;
}

/** The current figures. Visits no shard. */
export function statsOf(worker: WorkerState, scrub: ScrubStatus): ResidencyStats {
  const { devices, shards, commitQueue, leases, lostShards, audit, reservations } = worker;
  reservations.dropExpired();
  return {
    bytesByDeviceAndState: [...devices.values()].flatMap(bytesByState),
    shardsByState: { ...shards.countByState },
    leasesByState: { ...leases.countByState },
    zombieBytes: [...devices.values()].map(({ gpuDevice, zombieBytes }) => ({ gpuDevice, bytes: zombieBytes })),
    commitsWaiting: commitQueue.waiting,
    isReady: couldBeReady(worker, undefined),
    models: shards.modelCounts,
    lostShards: lostShards.byId.size,
    isAuditWritable: audit.isWritable,
    scrub,
    oldestVerifiedAtMs: shards.oldestVerifiedMs(undefined),
  };
}

function bytesByState(device: DeviceMemory): ResidencyStats['bytesByDeviceAndState'] {
  const { gpuDevice, totalBytes, freeBytes, reservedBytes } = device.snapshot();
  return [
    { gpuDevice, state: 'used', bytes: totalBytes - freeBytes },
    { gpuDevice, state: 'reserved', bytes: reservedBytes },
    { gpuDevice, state: 'free', bytes: freeBytes - reservedBytes },
  ];
}
