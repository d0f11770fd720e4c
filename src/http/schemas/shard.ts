import Type, { type Static } from 'typebox';
import { shardStates, type VerifyFault, verifyFaults } from '../../residency/state/snapshot.js';
import { driverKinds } from '../../seal/handle.js';
import { GpuDevice, ModelRef, NullableDigest, ShardId, ShardIndex, TotalShards } from './common.js';
import { Bytes, Length, NullableInstant, namedSchema, oneOf, QueryInteger, strictObject } from './make.js';
import { refTo } from './ref.js';

export const Driver = oneOf(driverKinds, 'Which driver holds the memory; only `cuda` is a real GPU.');

export const CorruptRange = namedSchema(
  'CorruptRange',
  { offset: Bytes('Where the damage begins.'), length: Length('Bytes.') },
  'A run of damaged bytes, to 512 KiB.',
);

export const Shard = namedSchema(
  'Shard',
  {
    shard_id: ShardId,
    model_ref: ModelRef,
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    gpu_uuid: Type.String(),
    vram_bytes: Length("The shard's exact length."),
    digest: NullableDigest,
    tree_digest: NullableDigest,
    state: oneOf(shardStates, 'Where the shard is in its life.'),
    sealed: Type.Boolean({ description: 'True in the state `sealed` alone.' }),
    received_bytes: Bytes('How many bytes have arrived.'),
    sealed_at: NullableInstant('When the handle was issued.'),
    last_verified_at: NullableInstant("When the device's bytes were last found right."),
    driver: Driver,
    simulated: Type.Boolean(),
    corrupt_ranges: Type.Optional(Type.Array(refTo(CorruptRange), { description: 'Only where the shard is corrupt.' })),
  },
  'A run of bytes of one model on one GPU.',
);
export type ShardView = Static<typeof Shard>;

export const ShardList = namedSchema(
  'ShardList',
  {
    shards: Type.Array(refTo(Shard)),
    next_cursor: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'Give it as `cursor` for the next page; null on the last.',
    }),
  },
  'One page of shards.',
);
export type ShardListView = Static<typeof ShardList>;

export const Verification = namedSchema(
  'Verification',
  {
    shard_id: ShardId,
    verified: Type.Boolean(),
    reason: Type.Unsafe<VerifyFault | null>({
      type: ['string', 'null'],
      enum: [...verifyFaults, null],
      description:
        'Why it is not verified. `corrupt`: the bytes are right now, but were found damaged before, and the shard was ' +
        'neither repaired nor released since.',
    }),
    checks: strictObject({
      signature: Type.Boolean({ description: 'The handle still carries our signature.' }),
      residency: Type.Boolean({ description: "The memory is the right GPU's own and read-only." }),
      tree_digest: Type.Boolean({ description: "The device's bytes have the sealed tree digest." }),
    }),
    bytes: Bytes('How many bytes were hashed.'),
    duration_ms: Type.Number({ minimum: 0 }),
    corrupt_ranges: Type.Array(refTo(CorruptRange)),
  },
  "What a look at the device's bytes found.",
);
export type VerificationView = Static<typeof Verification>;

export const shardParams = strictObject({ shard_id: { ...ShardId, examples: ['llama-0'] } });

export const shardsQuery = strictObject({
  model_ref: Type.Optional(ModelRef),
  state: Type.Optional(oneOf(shardStates, 'Only shards in this state.')),
  limit: Type.Optional(QueryInteger('How many at most: 1 to 1000, 100 where it is not given.')),
  cursor: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_=-]{1,512}$', description: 'From `next_cursor`.' })),
});

export const EmptyBody = namedSchema('Nothing', {}, 'No body is needed; an empty object is allowed.');
