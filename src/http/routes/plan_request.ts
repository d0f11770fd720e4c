import { splitModel } from '../../residency/plan/placement.js';
import type { PlanRequest } from '../../residency/plan/plan.js';
import type { SourcePlanRequest } from '../../residency/plan/plan_source.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { PlanFields } from '../schemas/plan.js';

const defaultTtlSeconds = 60;

/** Checks and converts the body of a plan. @throws WorkerError INVALID_PARAMS if its fields conflict */
export function planRequestOf(fields: PlanFields): PlanRequest | SourcePlanRequest {
  const { reserve = false, ttl_seconds, gpu_devices, model_ref: modelRef, source: reference } = fields;
  if (!reserve && ttl_seconds !== undefined) throw invalidParams('ttl_seconds is set without reserve');
  const layout = fields.shard_layout ?? (reference === undefined ? undefined : 'files');
  if (layout === undefined) throw invalidParams('shard_layout is missing');
  const options = {
    layout,
    ...(gpu_devices === undefined ? {} : { gpuDevices: gpu_devices }),
    ...(reserve ? { reserveForSeconds: ttl_seconds ?? defaultTtlSeconds } : {}),
  };
  if (reference !== undefined) {
    requireNoSizes(fields);
    return { ...options, reference, ...(modelRef === undefined ? {} : { modelRef }) };
  }
  if (modelRef === undefined) throw invalidParams('model_ref is missing: only a plan with source has a default');
  return { ...options, modelRef, shardBytes: shardBytesOf(fields) };
}

/** The files of a source have their own lengths. */
function requireNoSizes(fields: PlanFields): void {
  const sizes = ['model_bytes', 'shards', 'tp_degree'] as const;
  const named = sizes.find((size) => fields[size] !== undefined);
  if (named !== undefined) throw invalidParams(`${named} is set together with source`);
}

function shardBytesOf({ model_bytes, shards, shard_layout, tp_degree }: PlanFields): readonly number[] {
  if ((model_bytes === undefined) === (shards === undefined)) {
    throw invalidParams('The model size is missing or ambiguous: set either model_bytes or shards');
  }
  if (tp_degree !== undefined && (shard_layout !== 'tensor_parallel' || shards !== undefined)) {
    throw invalidParams('tp_degree is set without tensor_parallel and model_bytes');
  }
  if (shards !== undefined) {
    const sum = shards.reduce((total, { bytes }) => total + BigInt(bytes), 0n);
    if (sum > BigInt(Number.MAX_SAFE_INTEGER))
      throw invalidParams('The shards are too large: at most 2^53 - 1 bytes in total');
    return shards.map(({ bytes }) => bytes);
  }
  if (shard_layout === 'files') throw invalidParams('shard_layout is files without shards or source');
  const modelBytes = model_bytes ?? 0;
  if (shard_layout === 'single') return [modelBytes];
  if (tp_degree === undefined) throw invalidParams('tp_degree is missing: tensor_parallel with model_bytes needs it');
  if (modelBytes < tp_degree) throw invalidParams('model_bytes is too small: each shard needs at least one byte');
  return splitModel(modelBytes, tp_degree);
}
