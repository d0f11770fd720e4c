import type { DeviceSnapshot } from '../state/device_memory.js';
import type { PlannedShard, ReservationSnapshot } from '../state/reservations.js';
import type { WorkerState } from '../state/worker_state.js';
import { type PlanRefusal, place, requiredBytes, type ShardLayout } from './placement.js';

export interface PlanRequest {
  readonly modelRef: string;
  /** The exact length of each shard, by shard index. */
  readonly shardBytes: readonly number[];
  readonly layout: ShardLayout;
  /** Restricts the choice to these devices. */
  readonly gpuDevices?: readonly number[];
  /** Reserves the memory for this time. By default nothing is reserved. */
  readonly reserveForSeconds?: number;
}

export interface PlanReport {
  readonly feasible: boolean;
  readonly vramRequiredBytes: number;
  readonly shardPlan: readonly PlannedShard[];
  readonly devices: readonly DeviceSnapshot[];
  readonly reservation: ReservationSnapshot | null;
  readonly reason: PlanRefusal | null;
}

/**
 * Finds a device for each shard of a model. A requested reservation is made in the same tick, so no other request can
 * take the memory first.
 * @throws WorkerError INVALID_PARAMS, STARTING; for a reservation also DRAINING, AUDIT_UNAVAILABLE
 */
export function plan(worker: WorkerState, request: PlanRequest): PlanReport {
  worker.lifecycle.requireStarted();
  const { reservations, options } = worker;
  const { modelRef, shardBytes, layout, reserveForSeconds } = request;
  reservations.dropExpired();
  const devices = worker.devicesOf(request.gpuDevices);
  const report = (outcome: Pick<PlanReport, 'shardPlan' | 'reservation' | 'reason'>): PlanReport => ({
    feasible: outcome.reason === null,
    vramRequiredBytes: requiredBytes(shardBytes, devices),
    devices: devices.map((device) => device.snapshot()),
    ...outcome,
  });
  const refuse = (reason: PlanRefusal) => report({ shardPlan: [], reservation: null, reason });

  const tooLarge = refuseTooLarge(shardBytes, options.maxModelBytes);
  if (tooLarge !== undefined) return refuse(tooLarge);
  const placement = place(shardBytes, layout, devices);
  if (!placement.fits) return refuse(placement.reason);
  const shardPlan = placement.shards;
  if (reserveForSeconds === undefined) return report({ shardPlan, reservation: null, reason: null });
  worker.requireOpenToClients();
  const reservation = reservations.hold(modelRef, shardPlan, worker.devices, reserveForSeconds);
  return report({ shardPlan, reservation, reason: null });
}

function refuseTooLarge(shardBytes: readonly number[], maxModelBytes: number): PlanRefusal | undefined {
  const neededBytes = shardBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (neededBytes <= maxModelBytes) return undefined;
  const detail = `The model is larger than the limit of ${maxModelBytes} bytes (WORKER_MAX_MODEL_BYTES)`;
  return { code: 'MODEL_TOO_LARGE', detail, neededBytes, availableBytes: maxModelBytes };
}
