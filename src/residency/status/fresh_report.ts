import type { Scrubber } from '../integrity/scrubber.js';
import { isAnyBeyond, RefreshProgress, type Verifier } from '../integrity/verifier.js';
import type { WorkerState } from '../state/worker_state.js';
import { type ReadyQuery, type ReadyReport, readyReport } from './readiness.js';

/**
 * Verifies the shards that are older than a query allows. Resolves with a function that does so again for shards that were
 * sealed since then, and reports what is resident.
 */
export async function freshReport(
  worker: WorkerState,
  verifier: Verifier,
  scrubber: Scrubber,
  query: ReadyQuery,
): Promise<() => Promise<ReadyReport>> {
  await worker.recoverFiles();
  const { maxAgeSeconds } = query;
  const progress = new RefreshProgress();
  const refresh = async () => {
    if (maxAgeSeconds !== undefined) await verifier.refresh({ ...query, maxAgeSeconds }, progress);
  };
  await refresh();
  return async () => {
    await refresh();
    return readyReport(worker, scrubber.status, query);
  };
}

/** Whether every sealed shard was last verified within the age that a query allows. Visits no shard. */
export const isFresh = ({ shards }: WorkerState, { maxAgeSeconds, ...query }: ReadyQuery): boolean =>
  maxAgeSeconds === undefined || !isAnyBeyond(shards, { ...query, maxAgeSeconds });
