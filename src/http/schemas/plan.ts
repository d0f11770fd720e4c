import Type, { type Static } from 'typebox';
import { GpuDevice, ModelRef, ReservationId, ShardIndex, TotalShards } from './common.js';
import { Device } from './device.js';
import { maxShards } from './limits.js';
import { Bytes, Instant, Length, namedSchema, oneOf, strictObject } from './make.js';
import { nullableRefTo, refTo } from './ref.js';

const TtlSeconds = Type.Integer({ minimum: 1, maximum: 3600, description: 'How long the memory is held.' });

export const PlanBody = namedSchema(
  'PlanRequest',
  {
    model_ref: ModelRef,
    shard_layout: oneOf(['single', 'tensor_parallel'], 'The whole model on one GPU, or shards that lie on a GPU each.'),
    model_bytes: Type.Optional(Length('The whole model. Give this or `shards`.')),
    tp_degree: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: maxShards,
        description: 'With `model_bytes` and `tensor_parallel`: over how many GPUs the model is cut.',
      }),
    ),
    shards: Type.Optional(
      Type.Array(strictObject({ bytes: Length("The shard's exact length.") }), {
        minItems: 1,
        maxItems: maxShards,
        description: 'The exact shards. Give this or `model_bytes`.',
      }),
    ),
    gpu_devices: Type.Optional(
      Type.Array(GpuDevice, {
        minItems: 1,
        maxItems: maxShards,
        uniqueItems: true,
        description: 'Only these GPUs are considered.',
      }),
    ),
    reserve: Type.Optional(Type.Boolean({ description: 'Hold the memory. Off where it is not given.' })),
    ttl_seconds: Type.Optional(TtlSeconds),
  },
  'What is to be placed.',
);
export type PlanFields = Static<typeof PlanBody>;

export const PlannedShard = namedSchema(
  'PlannedShard',
  {
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    vram_bytes: Length("The shard's exact length."),
  },
  'Where one shard would lie.',
);

export const Reservation = namedSchema(
  'Reservation',
  { reservation_id: ReservationId, expires_at: Instant('When the memory is given back.') },
  'Memory that is held for a plan.',
);
export type ReservationView = Static<typeof Reservation>;

export const PlanRefusal = namedSchema(
  'PlanRefusal',
  {
    code: Type.String(),
    detail: Type.String(),
    needed_bytes: Bytes('What the plan takes.'),
    available_bytes: Bytes('What there is.'),
  },
  'Why a plan does not fit.',
);

export const Plan = namedSchema(
  'Plan',
  {
    feasible: Type.Boolean(),
    vram_required: Bytes("What the allocations take, each rounded up to the device's granularity."),
    shard_plan: Type.Array(refTo(PlannedShard)),
    devices: Type.Array(refTo(Device)),
    reservation: nullableRefTo(Reservation),
    reason: nullableRefTo(PlanRefusal),
  },
  'Whether a model fits, and where.',
);
export type PlanView = Static<typeof Plan>;

export const RenewBody = namedSchema(
  'RenewRequest',
  { ttl_seconds: Type.Optional(TtlSeconds) },
  'How long from now; where it is not said, as long as it was made for. Never shortens.',
);

export const reservationParams = strictObject({
  id: { ...ReservationId, examples: ['0d9a3f0e-6f2c-4c55-8a39-0f3d2f1b7c10'] },
});
