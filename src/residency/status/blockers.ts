import type { LostShards } from '../state/lost_shards.js';
import type { Reason } from '../state/reason.js';
import type { WorkerState } from '../state/worker_state.js';

/** Reasons why the worker is not ready, regardless of its shards. */
export function blockersOf({ lifecycle, lostShards, audit }: WorkerState): Reason[] {
  const { phase, lossError } = lifecycle;
  const reasons: Reason[] = [];
  if (phase === 'starting') reasons.push({ code: 'STARTING', detail: 'The devices are not up yet' });
  if (phase === 'loading') reasons.push({ code: 'LOADING', detail: progressOf(lostShards.restoring) });
  if (phase === 'draining') reasons.push({ code: 'DRAINING', detail: 'The worker is shutting down' });
  if (phase === 'stopped') reasons.push({ code: 'STOPPED', detail: 'The worker has stopped' });
  if (lossError !== undefined) reasons.push({ code: lossError.code, detail: lossError.message });
  if (!audit.isWritable) reasons.push({ code: 'AUDIT_UNAVAILABLE', detail: 'The audit log cannot be written' });
  return reasons;
}

/** Whether the worker accepts work, and if not, why. */
export interface Health {
  readonly ok: boolean;
  readonly reasons: readonly Reason[];
}

/** A native call that runs longer is stuck. Much shorter than the time limits after which it fails. */
const stuckSeconds = 10;

/** An empty worker is healthy. One that cannot write its manifest, or waits for a native call, is not. */
export async function healthOf(worker: WorkerState): Promise<Health> {
  await worker.recoverFiles();
  return healthNow(worker);
}

/** The same without an attempt to recover the files. */
export function healthNow(worker: WorkerState): Health {
  const reasons = blockersOf(worker);
  const { isLeaving, isEnding } = worker.lifecycle;
  if (isLeaving && !isEnding) reasons.push({ code: 'DRAINING', detail: 'The worker is about to shut down' });
  if (!worker.lostShards.isWritable) {
    reasons.push({ code: 'AUDIT_UNAVAILABLE', detail: 'The manifest cannot be written' });
  }
  reasons.push(...stuckCalls(worker));
  return { ok: reasons.length === 0, reasons };
}

/** A stuck call blocks new work. It does not affect sealed shards, so `ready` does not report it. */
function stuckCalls({ oldestCalls: { driverMs, fileMs } }: WorkerState): Reason[] {
  const detail = (of: string) => `A call of ${of} has not returned for ${stuckSeconds} seconds`;
  const reasons: Reason[] = [];
  if (driverMs >= stuckSeconds * 1000) reasons.push({ code: 'CUDA_ERROR', detail: detail('the GPU driver') });
  if (fileMs >= stuckSeconds * 1000) {
    reasons.push({ code: 'MODEL_DIR_UNAVAILABLE', detail: detail("the model directory's file system") });
  }
  return reasons;
}

const progressOf = ({ total, done }: LostShards['restoring']): string => `${done} of ${total} shards are restored`;
