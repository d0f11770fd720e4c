import { type ErrorCode, WorkerError } from '../../errors.js';
import type { DeviceMemory } from '../state/device_memory.js';
import type { PlannedShard } from '../state/reservations.js';

export type ShardLayout = 'single' | 'tensor_parallel' | 'files';

/** Why a plan does not fit. */
export interface PlanRefusal {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly neededBytes: number;
  readonly availableBytes: number;
}

export type Placement =
  | { readonly fits: true; readonly shards: readonly PlannedShard[] }
  | { readonly fits: false; readonly reason: PlanRefusal };

/** Splits a model into `degree` shards of ⌊n/d⌋ bytes; the first n mod d shards get one byte more. */
export function splitModel(modelBytes: number, degree: number): number[] {
  const longer = modelBytes % degree;
  const shorter = (modelBytes - longer) / degree;
  return Array.from({ length: degree }, (_, index) => shorter + (index < longer ? 1 : 0));
}

/** The device with the most available memory; of equals, the lowest index. */
function mostAvailable(devices: readonly DeviceMemory[]): DeviceMemory | undefined {
  return devices.reduce<DeviceMemory | undefined>(
    (best, device) => (best === undefined || device.availableBytes > best.availableBytes ? device : best),
    undefined,
  );
}

/** The device for a shard whose client named none and has no reservation. @throws WorkerError VRAM_OOM */
export function placeOne(devices: readonly DeviceMemory[]): DeviceMemory {
  const memory = mostAvailable(devices);
  if (memory === undefined) throw new WorkerError('VRAM_OOM', 'The worker has no GPU device');
  return memory;
}

/**
 * Chooses a device for each shard. The shards of a single layout share one device. Tensor-parallel shards go to
 * distinct devices, the largest to the device with the most available memory: if that does not fit, no other assignment does.
 * Files share few devices: each goes, largest first, to the first device that has room, in the order of available memory.
 */
export function place(shardBytes: readonly number[], layout: ShardLayout, devices: readonly DeviceMemory[]): Placement {
  const ranked = devices.toSorted((a, b) => b.availableBytes - a.availableBytes || a.gpuDevice - b.gpuDevice);
  const bySize = shardBytes.map((bytes, shardIndex) => ({ bytes, shardIndex })).sort((a, b) => b.bytes - a.bytes);
  const left = new Map(ranked.map((device) => [device, device.availableBytes]));
  const shards: PlannedShard[] = [];
  for (const [rank, { bytes, shardIndex }] of bySize.entries()) {
    const hasRoom = (one: DeviceMemory) => one.mappedBytes(bytes) <= (left.get(one) ?? 0);
    const device = { single: ranked[0], tensor_parallel: ranked[rank], files: ranked.find(hasRoom) }[layout];
    const availableBytes = device === undefined ? 0 : (left.get(device) ?? 0);
    const neededBytes = device?.mappedBytes(bytes) ?? bytes;
    if (device === undefined || neededBytes > availableBytes) {
      return { fits: false, reason: refusal(shardBytes, layout, devices) };
    }
    left.set(device, availableBytes - neededBytes);
    shards.push({ shardIndex, totalShards: shardBytes.length, gpuDevice: device.gpuDevice, vramBytes: bytes });
  }
  return { fits: true, shards: shards.sort((a, b) => a.shardIndex - b.shardIndex) };
}

/** Bytes of the allocations of all shards, each rounded up to the granularity. At most 2^53 - 1, exact in JSON. */
export function requiredBytes(shardBytes: readonly number[], devices: readonly DeviceMemory[]): number {
  const [device] = devices;
  const bytes = shardBytes.reduce((sum, bytes) => sum + (device?.mappedBytes(bytes) ?? bytes), 0);
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

function refusal(shardBytes: readonly number[], layout: ShardLayout, devices: readonly DeviceMemory[]): PlanRefusal {
  const available = devices.map((device) => device.availableBytes);
  const neededBytes = requiredBytes(shardBytes, devices);
  if (layout === 'single') {
    const detail = 'No GPU device has enough memory available';
    return { code: 'VRAM_OOM', detail, neededBytes, availableBytes: Math.max(0, ...available) };
  }
  const availableBytes = available.reduce((sum, bytes) => sum + bytes, 0);
  if (layout === 'files') {
    return {
      code: 'VRAM_OOM',
      detail: 'The files do not fit into the available GPU memory',
      neededBytes,
      availableBytes,
    };
  }
  const detail =
    shardBytes.length > devices.length
      ? `${shardBytes.length} tensor-parallel shards need ${shardBytes.length} devices; the worker has ${devices.length}`
      : 'The GPU devices do not have enough memory available for one shard each';
  return { code: 'VRAM_OOM', detail, neededBytes, availableBytes };
}
