import Type, { type Static } from 'typebox';
import { maxModelRefChars, maxShards } from '../../residency/limits.js';
import { type DigestOrigin, digestOrigins } from '../../sources/ranged_source.js';
import { GpuDevice, ReservationId, ShardIndex, TotalShards } from './common.js';
import { Device } from './device.js';
import { Bytes, Instant, Length, NullableDigest, namedSchema, oneOf, strictObject, visibleText } from './make.js';
import { nullableRefTo, refTo } from './ref.js';
import { Source } from './source.js';

const ttlSeconds = (description: string) => Type.Integer({ minimum: 1, maximum: 3600, description });

export const PlanBody = namedSchema(
  'PlanRequest',
  {
    model_ref: Type.Optional(
      visibleText(
        maxModelRefChars,
        'Name of the model. Default with `source`: its pinned reference. Otherwise required.',
      ),
    ),
    shard_layout: Type.Optional(
      oneOf(
        ['single', 'tensor_parallel', 'files'],
        '`single`: the whole model on one GPU. `tensor_parallel`: each shard on its own GPU. `files`: the shards on few ' +
          'GPUs, the default for `source`.',
      ),
    ),
    source: Type.Optional(refTo(Source)),
    model_bytes: Type.Optional(
      Length('Length of the whole model in bytes. Set exactly one of `model_bytes`, `shards` and `source`.'),
    ),
    tp_degree: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: maxShards,
        description: 'Number of GPUs for `tensor_parallel` with `model_bytes`.',
      }),
    ),
    shards: Type.Optional(
      Type.Array(strictObject({ bytes: Length('Exact length of the shard in bytes.') }), {
        minItems: 1,
        maxItems: maxShards,
        description: 'The shards of the model.',
      }),
    ),
    gpu_devices: Type.Optional(
      Type.Array(GpuDevice, {
        minItems: 1,
        maxItems: maxShards,
        uniqueItems: true,
        description: 'Indexes of the GPUs to use. Default: all.',
      }),
    ),
    reserve: Type.Optional(Type.Boolean({ description: 'Reserve the memory. Default: false.' })),
    ttl_seconds: Type.Optional(ttlSeconds('With `reserve`: lifetime of the reservation in seconds. Default: 60.')),
  },
  'A model to place.',
);
export type PlanFields = Static<typeof PlanBody>;

export const PlannedShard = namedSchema(
  'PlannedShard',
  {
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    vram_bytes: Length('Exact length of the shard in bytes.'),
  },
  'The planned GPU of one shard.',
);

export const Reservation = namedSchema(
  'Reservation',
  { reservation_id: ReservationId, expires_at: Instant('When the reservation expires.') },
  'Memory reserved for a plan.',
);
export type ReservationJson = Static<typeof Reservation>;

export const PlanRefusal = namedSchema(
  'PlanRefusal',
  {
    code: Type.String({ description: '`VRAM_OOM` or `MODEL_TOO_LARGE`.' }),
    detail: Type.String({ description: 'Description in words.' }),
    needed_bytes: Bytes('Memory that the plan needs, in bytes.'),
    available_bytes: Bytes('Memory that is available, in bytes.'),
  },
  'Why a model does not fit.',
);

export const ResolvedFile = namedSchema(
  'ResolvedFile',
  {
    path: Type.String({ description: 'Name of the file in its source.' }),
    bytes: Length('Length of the file in bytes.'),
    digest: NullableDigest('SHA-256 that the source claims. Null without a claim.'),
    digest_from: Type.Unsafe<DigestOrigin | null>({
      type: ['string', 'null'],
      enum: [...digestOrigins, null],
      description:
        'Where the source claims it. `repr-digest`: a header. `sidecar`: the file `FILE.sha256`. `descriptor`: the ' +
        'manifest of a registry. `lfs`: the list of the hub. `checksum`, `metadata`: headers of S3. `cache`: the name of ' +
        'a cached blob.',
    }),
    format: oneOf(
      ['gguf', 'safetensors', 'unknown'],
      'Format of the file, by its header. Headers of GGUF and safetensors files were checked.',
    ),
  },
  'A file of a source that becomes a shard.',
);

export const ResolvedModel = namedSchema(
  'ResolvedModel',
  {
    model_ref: Type.String({ description: 'The reference as text, with the resolved revision.' }),
    immutable: Type.Boolean({ description: 'Whether the reference always names the same bytes.' }),
    files: Type.Array(refTo(ResolvedFile), { description: 'Ordered by shard index.' }),
    skipped: Type.Array(Type.String(), { description: 'Files that do not become shards.' }),
  },
  'What a source has.',
);

export const Plan = namedSchema(
  'Plan',
  {
    feasible: Type.Boolean({ description: 'Whether the model fits.' }),
    vram_required: Bytes("Memory for all allocations in bytes, each rounded up to the device's granularity."),
    shard_plan: Type.Array(refTo(PlannedShard), { description: 'Ordered by index. Empty if the model does not fit.' }),
    devices: Type.Array(refTo(Device), { description: 'The GPUs that the plan could use.' }),
    reservation: nullableRefTo(Reservation, 'Null unless `reserve` is true and the model fits.'),
    reason: nullableRefTo(PlanRefusal, 'Why the model does not fit. Null if it fits.'),
    resolved: Type.Optional(refTo(ResolvedModel)),
  },
  'Whether a model fits, and the GPU of each shard.',
);
export type PlanJson = Static<typeof Plan>;

export const RenewBody = namedSchema(
  'RenewRequest',
  {
    ttl_seconds: Type.Optional(
      ttlSeconds('Lifetime in seconds from now. Default: the original one. A renewal never shortens the lifetime.'),
    ),
  },
  'The new lifetime of a reservation.',
);

export const reservationParams = strictObject({
  id: { ...ReservationId, examples: ['0d9a3f0e-6f2c-4c55-8a39-0f3d2f1b7c10'] },
});
