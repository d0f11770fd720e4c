import { splitModel } from '../../residency/plan/placement.js';
import type { PlanRequest } from '../../residency/plan/plan.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { PlanFields } from '../schemas/plan.js';

const defaultTtlSeconds = 60;

/** Checks and converts the body of a plan. @throws WorkerError INVALID_PARAMS if its fields conflict */
export function planRequestOf(fields: PlanFields): PlanRequest {
  const { reserve = false, ttl_seconds, gpu_devices } = fields;
  if (!reserve && ttl_seconds !== undefined) throw invalidParams('ttl_seconds is set without reserve');
  return {
    modelRef: fields.model_ref,
    shardBytes: shardBytesOf(fields),
    layout: fields.shard_layout,
    ...(gpu_devices === undefined ? {} : { gpuDevices: gpu_devices }),
    ...(reserve ? { reserveForSeconds: ttl_seconds ?? defaultTtlSeconds } : {}),
  };
}

function shardBytesOf({ model_bytes, shards, shard_layout, tp_degree }: PlanFields): readonly number[] {
  if ((model_bytes === undefined) === (shards === undefined)) {
    throw invalidParams('The model size is missing or ambiguous: set either model_bytes or shards');
  }
  if (tp_degree !== undefined && (shard_layout === 'single' || shards !== undefined)) {
    throw invalidParams('tp_degree is set without tensor_parallel and model_bytes');
  }
  if (shards !== undefined) {
    const sum = shards.reduce((total, { bytes }) => total + BigInt(bytes), 0n);
    if (sum > BigInt(Number.MAX_SAFE_INTEGER))
      throw invalidParams('The shards are too large: at most 2^53 - 1 bytes in total');
    return shards.map(({ bytes }) => bytes);
  }
  const modelBytes = model_bytes ?? 0;
  if (shard_layout === 'single') return [modelBytes];
  if (tp_degree === undefined) throw invalidParams('tp_degree is missing: tensor_parallel with model_bytes needs it');
  if (modelBytes < tp_degree) throw invalidParams('model_bytes is too small: each shard needs at least one byte');
  return splitModel(modelBytes, tp_degree);
}
