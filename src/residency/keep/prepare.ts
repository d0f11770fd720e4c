import type { Proof } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';

/**
 * Prepares a proven shard for the keeper, before its handle is issued: its layout, its group hashes, and the audit entry about its
 * export. Returns the time of the export; null if there is none yet. @throws WorkerError AUDIT_UNAVAILABLE, the driver's errors
 */
export async function prepareToKeep(worker: WorkerState, shard: Shard, proof: Proof): Promise<number | null> {
  const { keeper, shardAudit } = worker;
  if (keeper === undefined || !shard.exportable || shard.allocation === undefined) return null;
  shard.layout = await shard.allocation.layout();
  await writeHashes(worker, shard, proof.groupHashes);
  // Without a connection, the keeper gets the memory later, with a new handle.
  if (!keeper.isConnected) return null;
  const exportedAtMs = Date.now();
  const fields = { exported_at: new Date(exportedAtMs).toISOString() };
  await shardAudit.appendRequired('ShardExported', shard, fields);
  return exportedAtMs;
}

/** Without its hashes, later damage of the shard cannot be located, and the shard is read again as a whole. Never rejects. */
export async function writeHashes(worker: WorkerState, shard: Shard, groupHashes: Buffer): Promise<void> {
  try {
    await worker.hashFiles?.write(shard.allocationId, groupHashes);
  } catch (error) {
    worker.log('warn', 'group hashes cannot be written', { shard_id: shard.identity.shardId, err: error });
  }
}
