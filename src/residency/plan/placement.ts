import type { ErrorCode } from '../../errors.js';
import type { DeviceMemory } from '../state/device_memory.js';

export type ShardLayout = 'single' | 'tensor_parallel';

export interface PlannedShard {
  readonly shardIndex: number;
  readonly totalShards: number;
  readonly gpuDevice: number;
  readonly vramBytes: number;
}

export interface PlanRefusal {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly neededBytes: number;
  readonly availableBytes: number;
}

export type Placement =
  | { readonly fits: true; readonly shards: readonly PlannedShard[] }
  | { readonly fits: false; readonly reason: PlanRefusal };

/** Splits a model over `degree` shards: ⌊n/d⌋ bytes each, and one more for the first n mod d. */
export function splitModel(modelBytes: number, degree: number): number[] {
  const longer = modelBytes % degree;
  const shorter = (modelBytes - longer) / degree;
  return Array.from({ length: degree }, (_, index) => shorter + (index < longer ? 1 : 0));
}

/** The device with most available memory, the lowest index among equals. */
export function mostAvailable(devices: readonly DeviceMemory[]): DeviceMemory | undefined {
  return devices.reduce<DeviceMemory | undefined>(
    (best, device) => (best === undefined || device.availableBytes > best.availableBytes ? device : best),
    undefined,
  );
}

/**
 * Finds each shard its device. A single layout lies on one device whole. Tensor-parallel shards go to distinct devices,
 * the largest shard to the one with most available memory: if that does not fit, nothing does.
 */
export function place(shardBytes: readonly number[], layout: ShardLayout, devices: readonly DeviceMemory[]): Placement {
  const byRoom = devices.toSorted((a, b) => b.availableBytes - a.availableBytes || a.gpuDevice - b.gpuDevice);
  const bySize = shardBytes.map((bytes, shardIndex) => ({ bytes, shardIndex })).sort((a, b) => b.bytes - a.bytes);
  const left = new Map(byRoom.map((device) => [device, device.availableBytes]));
  const shards: PlannedShard[] = [];
  for (const [rank, { bytes, shardIndex }] of bySize.entries()) {
    const device = byRoom[layout === 'single' ? 0 : rank];
    const room = device === undefined ? 0 : (left.get(device) ?? 0);
    const needed = device?.mappedBytes(bytes) ?? bytes;
    if (device === undefined || needed > room) {
      return { fits: false, reason: refusal(shardBytes, layout, devices) };
    }
    left.set(device, room - needed);
    shards.push({ shardIndex, totalShards: shardBytes.length, gpuDevice: device.gpuDevice, vramBytes: bytes });
  }
  return { fits: true, shards: shards.sort((a, b) => a.shardIndex - b.shardIndex) };
}

/** What all shards take once each is rounded up to the device's granularity; at most what JSON says exactly, 2^53 - 1. */
export function requiredBytes(shardBytes: readonly number[], devices: readonly DeviceMemory[]): number {
  const [device] = devices;
  const bytes = shardBytes.reduce((sum, bytes) => sum + (device?.mappedBytes(bytes) ?? bytes), 0);
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

function refusal(shardBytes: readonly number[], layout: ShardLayout, devices: readonly DeviceMemory[]): PlanRefusal {
  const rooms = devices.map((device) => device.availableBytes);
  const neededBytes = requiredBytes(shardBytes, devices);
  if (layout === 'single') {
    const detail = 'no device has enough memory available';
    return { code: 'VRAM_OOM', detail, neededBytes, availableBytes: Math.max(0, ...rooms) };
  }
  const availableBytes = rooms.reduce((sum, room) => sum + room, 0);
  const detail =
    shardBytes.length > devices.length
      ? `${shardBytes.length} tensor-parallel shards need as many devices, and there are ${devices.length}`
      : 'the devices have not enough memory available, a shard each';
  return { code: 'VRAM_OOM', detail, neededBytes, availableBytes };
}
