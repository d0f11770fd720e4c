import type { DeviceSnapshot } from '../state/device_memory.js';
import type { ReservationSnapshot } from '../state/reservations.js';
import type { WorkerState } from '../state/worker_state.js';
import { type PlannedShard, type PlanRefusal, place, requiredBytes, type ShardLayout } from './placement.js';

export interface PlanRequest {
  readonly modelRef: string;
  /** Each shard's exact length, by shard index. */
  readonly shardBytes: readonly number[];
  readonly layout: ShardLayout;
  /** Only these devices are considered. */
  readonly gpuDevices?: readonly number[];
  /** Holds the memory for so long; without it nothing is held. */
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

/** Decides where a model fits, and reserves the memory in the same step if that is asked. @throws WorkerError */
export function plan(inventory: WorkerState, request: PlanRequest): PlanReport {
  inventory.requireStarted();
  const { reservations, options } = inventory;
  const { modelRef, shardBytes, layout, reserveForSeconds } = request;
  reservations.sweep();
  const devices = inventory.devicesOf(request.gpuDevices);
  const report = (outcome: Pick<PlanReport, 'shardPlan' | 'reservation' | 'reason'>): PlanReport => ({
    feasible: outcome.reason === null,
    vramRequiredBytes: requiredBytes(shardBytes, devices),
    devices: devices.map((device) => device.snapshot()),
    ...outcome,
  });

  const modelBytes = shardBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (modelBytes > options.maxModelBytes) {
    const detail = `a model may have up to ${options.maxModelBytes} bytes`;
    const sizes = { neededBytes: modelBytes, availableBytes: options.maxModelBytes };
    return report({ shardPlan: [], reservation: null, reason: { code: 'MODEL_TOO_LARGE', detail, ...sizes } });
  }
  const placement = place(shardBytes, layout, devices);
  if (!placement.fits) return report({ shardPlan: [], reservation: null, reason: placement.reason });
  const shardPlan = placement.shards;
  if (reserveForSeconds === undefined) return report({ shardPlan, reservation: null, reason: null });
  inventory.requireOpen();
  const reservation = reservations.hold(modelRef, shardPlan, inventory.devices, reserveForSeconds);
  return report({ shardPlan, reservation, reason: null });
}
