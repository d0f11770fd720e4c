import type { ScrubStatus } from '../integrity/scrubber.js';
import type { DeviceMemory } from '../state/device_memory.js';
import type { LeaseState } from '../state/lease.js';
import type { ShardState } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { oldestVerification, residentModels } from './models.js';
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

/** Collects figures without a visit of every shard, unless a shard has changed since the last call. */
export class Stats {
  readonly #worker: WorkerState;
  #revision = -1;
  #models = { ready: 0, other: 0 };
  #oldestVerifiedAtMs: number | null = null;

  constructor(worker: WorkerState) {
    this.#worker = worker;
  }

  now(scrub: ScrubStatus): ResidencyStats {
    const { devices, shards, commitQueue, leases, lostShards, audit } = this.#worker;
    this.#readModels();
    return {
      bytesByDeviceAndState: [...devices.values()].flatMap(bytesByState),
      shardsByState: { ...shards.countByState },
      leasesByState: { ...leases.countByState },
      zombieBytes: [...devices.values()].map(({ gpuDevice, zombieBytes }) => ({ gpuDevice, bytes: zombieBytes })),
      commitsWaiting: commitQueue.waiting,
      isReady: couldBeReady(this.#worker, undefined),
      models: this.#models,
      lostShards: lostShards.byId.size,
      isAuditWritable: audit.isWritable,
      scrub,
      oldestVerifiedAtMs: this.#oldestVerifiedAtMs,
    };
  }

  #readModels(): void {
    const { lifecycle, shards } = this.#worker;
    if (lifecycle.revision === this.#revision) return;
    const models = residentModels(shards, undefined);
    const ready = models.filter((model) => model.ready).length;
    this.#models = { ready, other: models.length - ready };
    this.#oldestVerifiedAtMs = oldestVerification(models);
    this.#revision = lifecycle.revision;
  }
}

function bytesByState(device: DeviceMemory): ResidencyStats['bytesByDeviceAndState'] {
  const { gpuDevice, totalBytes, freeBytes, reservedBytes } = device.snapshot();
  return [
    { gpuDevice, state: 'used', bytes: totalBytes - freeBytes },
    { gpuDevice, state: 'reserved', bytes: reservedBytes },
    { gpuDevice, state: 'free', bytes: freeBytes - reservedBytes },
  ];
}
