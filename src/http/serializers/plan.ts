import { splitModel } from '../../residency/plan/placement.js';
import type { PlanReport, PlanRequest } from '../../residency/plan/plan.js';
import type { DeviceSnapshot } from '../../residency/state/device_memory.js';
import type { ReservationSnapshot } from '../../residency/state/reservations.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { DeviceView } from '../schemas/device.js';
import type { PlanFields, PlanView, ReservationView } from '../schemas/plan.js';
import { instant } from './scalars.js';

/** How long a reservation holds where the request does not say. */
export const defaultTtlSeconds = 60;

/** What a plan asks for. @throws WorkerError INVALID_PARAMS where its fields do not go together */
export function planRequest(fields: PlanFields): PlanRequest {
  const { reserve = false, ttl_seconds, gpu_devices } = fields;
  if (!reserve && ttl_seconds !== undefined) throw invalidParams('ttl_seconds goes with reserve alone');
  return {
    modelRef: fields.model_ref,
    shardBytes: shardBytes(fields),
    layout: fields.shard_layout,
    ...(gpu_devices === undefined ? {} : { gpuDevices: gpu_devices }),
    ...(reserve ? { reserveForSeconds: ttl_seconds ?? defaultTtlSeconds } : {}),
  };
}

function shardBytes({ model_bytes, shards, shard_layout, tp_degree }: PlanFields): readonly number[] {
  if ((model_bytes === undefined) === (shards === undefined)) throw invalidParams('Give either model_bytes or shards');
  if (tp_degree !== undefined && (shard_layout === 'single' || shards !== undefined)) {
    throw invalidParams('tp_degree goes with tensor_parallel and model_bytes alone');
  }
  if (shards !== undefined) {
    const sum = shards.reduce((total, { bytes }) => total + BigInt(bytes), 0n);
    if (sum > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidParams('The shards are more than 2^53 - 1 bytes together');
    return shards.map(({ bytes }) => bytes);
  }
  const whole = model_bytes ?? 0;
  if (shard_layout === 'single') return [whole];
  if (tp_degree === undefined) throw invalidParams('tensor_parallel with model_bytes needs tp_degree');
  if (whole < tp_degree) throw invalidParams('model_bytes is less than a byte for each shard');
  return splitModel(whole, tp_degree);
}

export const planView = (plan: PlanReport): PlanView => ({
  feasible: plan.feasible,
  vram_required: plan.vramRequiredBytes,
  shard_plan: plan.shardPlan.map((shard) => ({
    shard_index: shard.shardIndex,
    total_shards: shard.totalShards,
    gpu_device: shard.gpuDevice,
    vram_bytes: shard.vramBytes,
  })),
  devices: plan.devices.map(deviceView),
  reservation: plan.reservation === null ? null : reservationView(plan.reservation),
  reason:
    plan.reason === null
      ? null
      : {
          code: plan.reason.code,
          detail: plan.reason.detail,
          needed_bytes: plan.reason.neededBytes,
          available_bytes: plan.reason.availableBytes,
        },
});

export const deviceView = (device: DeviceSnapshot): DeviceView => ({
  gpu_device: device.gpuDevice,
  name: device.name,
  uuid: device.uuid,
  total_bytes: device.totalBytes,
  free_bytes: device.freeBytes,
  reserved_bytes: device.reservedBytes,
  available_bytes: device.availableBytes,
});

export const reservationView = (reservation: ReservationSnapshot): ReservationView => ({
  reservation_id: reservation.reservationId,
  expires_at: instant(reservation.expiresAtMs),
});
