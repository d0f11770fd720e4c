import type { PlanReport } from '../../residency/plan/plan.js';
import type { SourcePlanReport } from '../../residency/plan/plan_source.js';
import type { DeviceSnapshot } from '../../residency/state/device_memory.js';
import type { ReservationSnapshot } from '../../residency/state/reservations.js';
import type { DeviceJson } from '../schemas/device.js';
import type { PlanJson, ReservationJson } from '../schemas/plan.js';
import { instant } from './scalars.js';

export const serializePlan = (plan: PlanReport): PlanJson => ({
  feasible: plan.feasible,
  vram_required: plan.vramRequiredBytes,
  shard_plan: plan.shardPlan.map((shard) => ({
    shard_index: shard.shardIndex,
    total_shards: shard.totalShards,
    gpu_device: shard.gpuDevice,
    vram_bytes: shard.vramBytes,
  })),
  devices: plan.devices.map(serializeDevice),
  reservation: plan.reservation === null ? null : serializeReservation(plan.reservation),
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

export const serializeSourcePlan = ({ resolved, ...plan }: SourcePlanReport): PlanJson => ({
  ...serializePlan(plan),
  resolved: {
    model_ref: resolved.modelRef,
    immutable: resolved.isImmutable,
    files: resolved.files.map(({ path, bytes, digest, digestFrom, format }) => ({
      path,
      bytes,
      digest,
      digest_from: digestFrom,
      format,
    })),
    skipped: [...resolved.skipped],
  },
});

export const serializeDevice = (device: DeviceSnapshot): DeviceJson => ({
  gpu_device: device.gpuDevice,
  name: device.name,
  uuid: device.uuid,
  total_bytes: device.totalBytes,
  free_bytes: device.freeBytes,
  reserved_bytes: device.reservedBytes,
  available_bytes: device.availableBytes,
  zombie_bytes: device.zombieBytes,
});

export const serializeReservation = (reservation: ReservationSnapshot): ReservationJson => ({
  reservation_id: reservation.reservationId,
  expires_at: instant(reservation.expiresAtMs),
});
