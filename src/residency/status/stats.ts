import type { ScrubStatus } from '../integrity/scrubber.js';
import type { DeviceMemory } from '../state/device_memory.js';
import type { LeaseState } from '../state/lease.js';
import type { ShardState } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { oldestVerification, residentModels } from './models.js';

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
  readonly scrub: ScrubStatus;
  readonly oldestVerifiedAtMs: number | null;
}

/** Collects figures without a visit of every shard, unless a shard has changed since the last call. */
export class Stats {
  readonly #worker: WorkerState;
  #revision = -1;
  #oldestVerifiedAtMs: number | null = null;

  constructor(worker: WorkerState) {
    this.#worker = worker;
  }

  now(scrub: ScrubStatus): ResidencyStats {
    const { devices, shards, commitQueue, leases } = this.#worker;
    return {
      bytesByDeviceAndState: [...devices.values()].flatMap(bytesByState),
      shardsByState: { ...shards.countByState },
      leasesByState: { ...leases.countByState },
      zombieBytes: [...devices.values()].map(({ gpuDevice, zombieBytes }) => ({ gpuDevice, bytes: zombieBytes })),
      commitsWaiting: commitQueue.waiting,
      scrub,
      oldestVerifiedAtMs: this.#oldest(),
    };
  }

  #oldest(): number | null {
    const { lifecycle, shards } = this.#worker;
    if (lifecycle.revision === this.#revision) return this.#oldestVerifiedAtMs;
    this.#oldestVerifiedAtMs = oldestVerification(residentModels(shards, undefined));
    this.#revision = lifecycle.revision;
    return this.#oldestVerifiedAtMs;
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
