import type { ScrubStatus } from '../integrity/scrubber.js';
import type { ShardState } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { oldestVerification } from './models.js';

/** Current figures for metrics. `used`, `reserved` and `free` add up to the memory of a device. */
export interface ResidencyStats {
  readonly bytesByDeviceAndState: readonly {
    readonly gpuDevice: number;
    readonly state: 'used' | 'reserved' | 'free';
    readonly bytes: number;
  }[];
  readonly shardsByState: Readonly<Record<ShardState, number>>;
  readonly commitsWaiting: number;
  readonly scrub: ScrubStatus;
  readonly oldestVerifiedAtMs: number | null;
}

export function statsOf(
  { devices, shards, commitQueue }: Pick<WorkerState, 'devices' | 'shards' | 'commitQueue'>,
  scrub: ScrubStatus,
): ResidencyStats {
  const bytesByDeviceAndState = [...devices.values()].flatMap((device) => {
    const { gpuDevice, totalBytes, freeBytes, reservedBytes } = device.snapshot();
    return [
      { gpuDevice, state: 'used', bytes: totalBytes - freeBytes } as const,
      { gpuDevice, state: 'reserved', bytes: reservedBytes } as const,
      { gpuDevice, state: 'free', bytes: freeBytes - reservedBytes } as const,
    ];
  });
  return {
    bytesByDeviceAndState,
    shardsByState: shards.countByState(),
    commitsWaiting: commitQueue.waiting,
    scrub,
    oldestVerifiedAtMs: oldestVerification(shards.all()),
  };
}
