import Type, { type Static } from 'typebox';
import { expectations } from '../../seal/handle.js';
import { Digest, GpuDevice, ModelRef, NullableDigest, ShardId, ShardIndex, TotalShards } from './common.js';
import { Instant, Length, namedSchema, oneOf } from './make.js';
import { nullableRefTo } from './ref.js';
import { Driver } from './shard.js';

export const HandleBody = namedSchema(
  'HandleRequest',
  { handle: Type.String({ pattern: '^[^\\0]{0,8192}$', description: 'What claims to be a handle: up to 8 KiB.' }) },
  'A handle to look at.',
);

export const HandleClaims = namedSchema(
  'HandleClaims',
  {
    iss: Type.String({ description: 'The worker.' }),
    boot_id: Type.String(),
    jti: Type.String(),
    prev: Type.Optional(Type.String({ description: 'The `jti` of the handle that this one took the place of.' })),
    iat: Type.Integer(),
    shard_id: ShardId,
    model_ref: ModelRef,
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    gpu_uuid: Type.String(),
    vram_bytes: Length("The shard's exact length."),
    digest: NullableDigest,
    tree_digest: Digest,
    expected: oneOf(expectations, 'Which digests the client held the bytes to.'),
    sealed_at: Instant('When it was sealed.'),
    driver: Driver,
    simulated: Type.Boolean(),
  },
  'What a handle states.',
);

export const handleFaults = [
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
    valid: Type.Boolean(),
    reason: Type.Unsafe<(typeof handleFaults)[number] | null>({
      type: ['string', 'null'],
      enum: [...handleFaults, null],
      description: 'Why it is not valid.',
    }),
    claims: nullableRefTo(HandleClaims),
  },
  'Whether a handle is authentic and current. Claims are shown only where the signature held.',
);
export type HandleVerdictView = Static<typeof HandleVerdict>;
