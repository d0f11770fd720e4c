import type { DeviceMemory } from '../state/device_memory.js';
import type { ReservedMemory } from '../state/reservations.js';
import type { Shard } from '../state/shard.js';

/** What the memory of a shard counts as: it arrives, it is there, or only other processes still have it. */
export const memoryUses = ['shard', 'receiving', 'zombie'] as const;
export type MemoryUse = (typeof memoryUses)[number];

/** The memory of a device. The six parts add up to `totalBytes`. */
export interface DeviceOverview {
  readonly gpuDevice: number;
  readonly name: string;
  readonly uuid: string;
  readonly granularityBytes: number;
  readonly totalBytes: number;
  readonly shardBytes: number;
  readonly receivingBytes: number;
  readonly zombieBytes: number;
  readonly reservedBytes: number;
  readonly freeBytes: number;
  /** Memory of the driver, and of other processes. */
  readonly otherBytes: number;
  /** Null if nothing is reserved. */
  readonly reserved: ReservedMemory | null;
}

/** The part of the overview that has the memory of a shard. */
export const memoryUseOf = ({ state, isZombie }: Shard): MemoryUse => {
  if (isZombie) return 'zombie';
  return state === 'receiving' || state === 'sealing' ? 'receiving' : 'shard';
};

/** The memory of each device, of which these shards have a part. */
export function deviceOverviews(
  devices: Iterable<DeviceMemory>,
  shards: readonly Shard[],
  reserved: ReadonlyMap<number, ReservedMemory>,
): DeviceOverview[] {
  const claimed = new Map<DeviceMemory, Record<MemoryUse, number>>();
  for (const shard of shards) {
    let bytes = claimed.get(shard.memory);
    if (bytes === undefined) {
      bytes = { shard: 0, receiving: 0, zombie: 0 };
      claimed.set(shard.memory, bytes);
    }
    bytes[memoryUseOf(shard)] += shard.grant.claim.bytes;
  }
  return [...devices].map((device) =>
    deviceOverviewOf(device, claimed.get(device), reserved.get(device.gpuDevice) ?? null),
  );
}

function deviceOverviewOf(
  device: DeviceMemory,
  claimed: Record<MemoryUse, number> = { shard: 0, receiving: 0, zombie: 0 },
  reserved: ReservedMemory | null,
): DeviceOverview {
  const { gpuDevice, name, uuid, granularityBytes, totalBytes, reservedBytes, availableBytes } = device.snapshot();
  let restBytes = totalBytes;
  // Other processes can take memory that is reserved. The parts then share what is left of the device.
  const take = (bytes: number): number => {
    const taken = Math.min(bytes, restBytes);
    restBytes -= taken;
    return taken;
  };
  const parts = {
    shardBytes: take(claimed.shard),
    receivingBytes: take(claimed.receiving),
    zombieBytes: take(claimed.zombie),
    reservedBytes: take(reservedBytes),
    freeBytes: take(availableBytes),
  };
  return { gpuDevice, name, uuid, granularityBytes, totalBytes, ...parts, otherBytes: restBytes, reserved };
}
