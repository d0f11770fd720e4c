import type { LostShards } from '../state/lost_shards.js';
import type { Reason } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';

/** What keeps the worker itself, whatever shards it has, from being ready. */
export function blockersOf({ state, lostShards: ledger, driverHealth: heartbeat, audit }: WorkerState): Reason[] {
  const reasons: Reason[] = [];
  if (state === 'starting') reasons.push({ code: 'STARTING', detail: 'the devices are not up yet' });
  if (state === 'loading') reasons.push({ code: 'LOADING', detail: restored(ledger.restoring) });
  if (state === 'draining') reasons.push({ code: 'DRAINING', detail: 'the worker is shutting down' });
  if (state === 'stopped') reasons.push({ code: 'STOPPED', detail: 'the worker has stopped' });
  const { lossError: lost } = heartbeat;
  if (lost !== undefined) reasons.push({ code: lost.code, detail: lost.message });
  if (!audit.tryRecover()) reasons.push({ code: 'AUDIT_UNAVAILABLE', detail: 'the audit log cannot be written' });
  return reasons;
}

/** Whether the worker can be given work, and what stands in the way. */
export interface Health {
  readonly ok: boolean;
  readonly reasons: readonly Reason[];
}

/** An empty worker is fit for work; one that could not remember what it is given is not. */
export function healthOf(inventory: WorkerState): Health {
  const reasons = blockersOf(inventory);
  if (!inventory.lostShards.writable) {
    reasons.push({ code: 'AUDIT_UNAVAILABLE', detail: 'the manifest cannot be written' });
  }
  return { ok: reasons.length === 0, reasons };
}

const restored = ({ total, done }: LostShards['restoring']): string => `${done} of ${total} shards are restored`;
