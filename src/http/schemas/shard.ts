import Type, { type Static } from 'typebox';
import { shardStates } from '../../residency/state/snapshot.js';
import { type VerifyFault, verifyFaults } from '../../residency/state/verify_report.js';
import { driverKinds } from '../../seal/handle.js';
import { GpuDevice, ModelRef, ShardId, ShardIndex, TotalShards } from './common.js';
import {
  Bytes,
  Count,
  Length,
  NullableDigest,
  NullableInstant,
  namedSchema,
  oneOf,
  QueryBoolean,
  QueryInteger,
  strictObject,
} from './make.js';
import { refTo } from './ref.js';

/** The description of `state`. */
export const shardState =
  '`receiving`: the bytes arrive. `sealing`: the worker proves them. `sealed`: the last verification found the sealed ' +
  'bytes. `corrupt`: a verification failed. `releasing`: the worker wipes and frees the memory.';

export const Driver = oneOf(driverKinds, 'Driver that holds the memory. Only `cuda` is a real GPU.');

export const CorruptRange = namedSchema(
  'CorruptRange',
  {
    offset: Bytes('Offset of the range in the shard, in bytes.'),
    length: Length('Length of the range in bytes.'),
  },
  'A range of the shard with at least one corrupt byte in each unit of 512 KiB.',
);

export const Shard = namedSchema(
  'Shard',
  {
    shard_id: ShardId,
    model_ref: ModelRef,
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    gpu_uuid: Type.String({ description: 'UUID of the GPU.' }),
    vram_bytes: Length('Exact length of the shard in bytes.'),
    digest: NullableDigest(
      'SHA-256 of the shard. Null until it is sealed, and if the client set `flat_digest` to false.',
    ),
    tree_digest: NullableDigest('fs-verity digest of the shard. Null until it is sealed.'),
    state: oneOf(shardStates, shardState),
    sealed: Type.Boolean({ description: 'True only in the state `sealed`.' }),
    received_bytes: Bytes('Number of bytes received so far.'),
    sealed_at: NullableInstant('When the shard was sealed. Null before that.'),
    last_verified_at: NullableInstant(
      'When the last successful verification started: no byte was read before it. The seal counts as the first one. Null ' +
        'before the seal.',
    ),
    driver: Driver,
    simulated: Type.Boolean({ description: 'False only on a real GPU.' }),
    exportable: Type.Boolean({ description: 'Whether other processes can attach the shard.' }),
    exported_at: NullableInstant('When the shard was first handed over to another process. Null if it never was.'),
    leases: Count('Number of leases of other processes on the shard.'),
    kept: Type.Boolean({ description: 'Whether the keeper holds the memory, so that it outlives the worker.' }),
    source: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description:
        'The pinned reference of the source, as text. Null for an upload, and for a URL with a query: a query can be a ' +
        'secret, so it is never stored.',
    }),
    restorable: Type.Boolean({
      description:
        'Whether the worker repairs the shard from its source, and with a manifest also restores it after a restart.',
    }),
    corrupt_ranges: Type.Optional(
      Type.Array(refTo(CorruptRange), { description: 'The damage. Absent unless the shard is corrupt.' }),
    ),
  },
  'The bytes of a model, or of a part of it, in the memory of one GPU.',
);
export type ShardJson = Static<typeof Shard>;

export const ShardList = namedSchema(
  'ShardList',
  {
    shards: Type.Array(refTo(Shard), { description: 'Ordered by `shard_id`.' }),
    next_cursor: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'Send it as `cursor` to get the next page. Null on the last page.',
    }),
  },
  'One page of shards.',
);
export type ShardListJson = Static<typeof ShardList>;

export const Verification = namedSchema(
  'Verification',
  {
    shard_id: ShardId,
    verified: Type.Boolean({ description: 'Whether every check passed.' }),
    reason: Type.Unsafe<VerifyFault | null>({
      type: ['string', 'null'],
      enum: [...verifyFaults, null],
      description:
        'Why the verification failed, or null. `signature`: the handle is invalid. `residency`: the driver reports other ' +
        'memory. `damaged`: the bytes differ. `corrupt`: the bytes match now, but an earlier verification failed, and the ' +
        'shard was neither repaired nor released since.',
    }),
    checks: strictObject(
      {
        signature: Type.Boolean({ description: 'The signature of the handle is valid.' }),
        residency: Type.Boolean({ description: "The memory is the GPU's own and read-only." }),
        tree_digest: Type.Boolean({ description: 'The bytes in GPU memory have the sealed tree digest.' }),
      },
      { description: 'The result of each check.' },
    ),
    bytes: Bytes('Number of bytes that were hashed.'),
    duration_ms: Type.Number({ minimum: 0, description: 'Duration of the verification in milliseconds.' }),
    corrupt_ranges: Type.Array(refTo(CorruptRange), { description: 'Empty if the bytes are intact.' }),
  },
  'The result of a verification.',
);
export type VerificationJson = Static<typeof Verification>;

export const shardParams = strictObject({ shard_id: { ...ShardId, examples: ['llama-0'] } });

export const shardsQuery = strictObject({
  model_ref: Type.Optional(ModelRef),
  state: Type.Optional(oneOf(shardStates, 'Return only shards in this state.')),
  limit: Type.Optional(QueryInteger({ minimum: 1, maximum: 1000 }, 'Shards per page. Default: 100.')),
  cursor: Type.Optional(
    Type.String({ pattern: '^[A-Za-z0-9_=-]{1,512}$', description: 'The `next_cursor` of the previous page.' }),
  ),
});

export type ShardsFields = Static<typeof shardsQuery>;

export const releaseQuery = strictObject({
  force: Type.Optional(
    QueryBoolean(
      'Release the shard even if other processes have attached it. The memory is freed when they have ended. Default: false.',
    ),
  ),
  grace_seconds: Type.Optional(
    QueryInteger(
      { minimum: 0, maximum: 300 },
      'With `force`: the time in seconds that attached processes have to detach. Default: 0.',
    ),
  ),
});

export const EmptyBody = namedSchema('EmptyBody', {}, 'An empty object. The body may be omitted.');
