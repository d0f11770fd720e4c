import type { Actor } from '../../audit/actor.js';
import { outcomeOf } from '../../errors.js';
import { reissueHandle } from '../handle/issue.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { requireUsable } from './usable.js';

/** How often a first export tries again if another new handle came first. */
const exportAttempts = 3;

/**
 * Makes a shard an exported one, with a new handle, before its memory is first handed over. Concurrent first exports share one.
 * @throws WorkerError SHARD_BUSY, SHARD_CONFLICT, AUDIT_UNAVAILABLE
 */
export async function ensureExported(worker: WorkerState, shard: Shard, actor: Actor): Promise<void> {
  if (requireUsable(shard).exportedAtMs !== null) return;
  shard.exporting ??= firstExport(worker, shard, actor).finally(() => {
    shard.exporting = undefined;
  });
  await shard.exporting;
}

/** The entry comes first, then the handle that says so, and the memory last. */
async function firstExport(worker: WorkerState, shard: Shard, actor: Actor): Promise<void> {
  const exportedAtMs = Date.now();
  const fields = { exported_at: new Date(exportedAtMs).toISOString() };
  await worker.shardAudit.appendRequired('ShardExported', shard, fields, actor);
  for (let attempt = 1; ; attempt++) {
    try {
      requireUsable(shard);
      return await reissueHandle(shard, worker, { exportedAtMs });
    } catch (error) {
      // A key rotation or a release came first.
      if (outcomeOf(error) !== 'SHARD_BUSY' || attempt === exportAttempts) throw error;
    }
  }
}
