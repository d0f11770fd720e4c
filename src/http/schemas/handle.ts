import Type, { type Static } from 'typebox';
import { expectations, expectedBySet } from '../../seal/handle.js';
import { GpuDevice, ModelRef, ShardId, ShardIndex, TotalShards } from './common.js';
import { Digest, Instant, Length, NullableDigest, NullableInstant, namedSchema, oneOf } from './make.js';
import { nullableRefTo } from './ref.js';
import { Driver } from './shard.js';

export const HandleBody = namedSchema(
  'HandleRequest',
  { handle: Type.String({ pattern: '^[^\\0]{0,8192}$', description: 'The handle to verify, up to 8 KiB.' }) },
  'A handle to verify.',
);

export const HandleClaims = namedSchema(
  'HandleClaims',
  {
    iss: Type.String({ description: 'Id of the worker that signed the handle.' }),
    boot_id: Type.String({ description: "Id of the worker's process, new at every start." }),
    jti: Type.String({ description: 'Unique id of the handle.' }),
    prev: Type.Optional(
      Type.String({ description: 'The `jti` of the handle that this one replaced. Absent for the first one.' }),
    ),
    iat: Type.Integer({ description: 'When the handle was signed, in Unix seconds.' }),
    shard_id: ShardId,
    model_ref: ModelRef,
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    gpu_uuid: Type.String({ description: 'UUID of the GPU.' }),
    vram_bytes: Length('Exact length of the shard in bytes.'),
    digest: NullableDigest('SHA-256 of the shard. Null if the client set `flat_digest` to false.'),
    tree_digest: Digest('fs-verity digest of the shard.'),
    expected: oneOf(expectations, 'The expected digests that the bytes match: SHA-256, fs-verity, both or none.'),
    expected_by: Type.Optional(
      oneOf(expectedBySet, 'Who stated the expected digests of a commit by reference. Absent for an upload.'),
    ),
    source: Type.Optional(
      Type.String({
        description:
          'The pinned reference of a commit by reference, as text. Absent for an upload, and for a URL with a query.',
      }),
    ),
    sealed_at: Instant('When the shard was sealed.'),
    exportable: Type.Boolean({ description: 'Whether the memory can be handed over to other processes.' }),
    exported_at: NullableInstant('When the memory was first handed over to another process. Null if it never was.'),
    driver: Driver,
    simulated: Type.Boolean({ description: 'False only on a real GPU.' }),
  },
  'The claims of a handle.',
);

const handleFaults = [
  'malformed',
  'unknown_key',
  'signature',
  'stale_boot',
  'unknown_shard',
  'superseded',
  'not_sealed',
] as const;

export const HandleVerdict = namedSchema(
  'HandleVerdict',
  {
    valid: Type.Boolean({ description: 'Whether the handle is authentic and current.' }),
    reason: Type.Unsafe<(typeof handleFaults)[number] | null>({
      type: ['string', 'null'],
      enum: [...handleFaults, null],
      description:
        'Why the handle is invalid, or null. `malformed`: another format. `unknown_key`: signed by another key. ' +
        '`signature`: the signature is wrong. `stale_boot`: from an earlier process. `unknown_shard`: the shard was ' +
        'released. `superseded`: the shard has a newer handle. `not_sealed`: the shard is corrupt, or is being ' +
        'received again or released, or the driver is lost.',
    }),
    claims: nullableRefTo(HandleClaims, 'The claims. Null if the signature was not valid.'),
  },
  'The result of a handle verification.',
);
export type HandleVerdictJson = Static<typeof HandleVerdict>;
