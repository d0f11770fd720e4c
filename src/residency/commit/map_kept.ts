import { closeSync } from 'node:fs';
import { WorkerError } from '../../errors.js';
import type { ReturnedMemory } from '../../keeper/keeper_client.js';
import type { Orphans } from '../lease/orphans.js';
import type { DeviceMemory } from '../state/device_memory.js';
import type { ListedMemory, ManifestEntry } from '../state/manifest_entry.js';
import { MemoryGrant } from '../state/memory_grant.js';
import { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';

/** An entry whose memory a keeper may hold. */
export type KeptEntry = ManifestEntry & { readonly memory: ListedMemory };

/** Whether a keeper may hold the memory of the entry. */
export const isKeptEntry = (entry: ManifestEntry): entry is KeptEntry => entry.memory !== null;

/**
 * Maps the memory of an earlier worker's shard, read-only, with the leases that processes have on it. The shard is `sealing` then: its
 * bytes are not proven yet. Undefined if the keeper does not have the memory.
 * @throws WorkerError KEEPER_UNAVAILABLE, DEVICE_MISMATCH, LENGTH_MISMATCH, and the driver's errors
 */
export async function mapKept(worker: WorkerState, entry: KeptEntry, orphans: Orphans): Promise<Shard | undefined> {
  const { allocationId } = entry.memory;
  const returned = await worker.keeper?.take(allocationId);
  if (returned === undefined) return undefined;
  try {
    const shard = await mapReturned(worker, entry, returned);
    worker.shards.add(shard);
    shard.receivedBytes = shard.vramBytes;
    shard.beginSealing();
    shard.setKept(true);
    const leases = worker.lostShards.manifest?.leases() ?? [];
    await orphans.restore(
      shard,
      leases.filter((lease) => lease.allocationId === allocationId),
    );
    return shard;
  } finally {
    for (const descriptor of returned.descriptors) closeSync(descriptor);
  }
}

async function mapReturned(worker: WorkerState, entry: KeptEntry, returned: ReturnedMemory): Promise<Shard> {
  const { vramBytes, memory } = entry;
  requireListed(entry, returned);
  const device = deviceOf(worker, memory.gpuUuid);
  const grant = new MemoryGrant(device, device.claimExisting(vramBytes));
  const layout = { bytes: vramBytes, mappedBytes: memory.mappedBytes, partBytes: memory.partBytes };
  try {
    const allocation = await worker.driver.adopt(device.gpuDevice, layout, returned.descriptors);
    grant.claim.markAllocated();
    const source = entry.source ?? undefined;
    const { allocationId } = memory;
    const shard = new Shard(entry, vramBytes, grant, { source, exportable: true, allocationId });
    shard.allocation = allocation;
    shard.layout = layout;
    return shard;
  } catch (error) {
    grant.release();
    throw worker.driverHealth.report(error);
  }
}

/** @throws WorkerError if the memory is not the one that the manifest describes */
function requireListed({ memory, vramBytes }: KeptEntry, { layout, gpuUuid }: ReturnedMemory): void {
  const isSame =
    layout.bytes === vramBytes && layout.mappedBytes === memory.mappedBytes && layout.partBytes === memory.partBytes;
  if (!isSame) throw new WorkerError('LENGTH_MISMATCH', 'The kept memory has another length than the shard');
  if (gpuUuid !== memory.gpuUuid) throw otherDevice(gpuUuid);
}

/** The GPU that has the memory, which may have another number now. */
function deviceOf({ devices }: WorkerState, gpuUuid: string): DeviceMemory {
  const device = [...devices.values()].find(({ uuid }) => uuid === gpuUuid);
  if (device === undefined) throw otherDevice(gpuUuid);
  return device;
}

const otherDevice = (gpuUuid: string): WorkerError =>
  new WorkerError('DEVICE_MISMATCH', `The kept memory is on the GPU ${gpuUuid}, which is not that of the shard`);
