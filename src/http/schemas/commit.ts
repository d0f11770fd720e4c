import Type, { type Static } from 'typebox';
import {
  ExpectedDigest,
  ExpectedTreeDigest,
  FilePath,
  GpuDevice,
  ModelRef,
  ReservationId,
  ShardId,
  ShardIndex,
  TotalShards,
} from './common.js';
import { namedSchema, oneOf, QueryBoolean, QueryInteger, strictObject } from './make.js';
import { refTo } from './ref.js';
import { Shard } from './shard.js';

const flatDigest =
  'False skips the serial SHA-256, so that `digest` is null; only together with `expected_tree_digest`.';

/** What an upload says about its body, in the query. */
export const uploadQuery = strictObject({
  shard_id: { ...ShardId, examples: ['llama-0'] },
  model_ref: { ...ModelRef, examples: ['hf:ggml-org/tinygemma3-GGUF@main'] },
  gpu_device: Type.Optional(QueryInteger("The GPU; the reservation's, or the roomiest, where it is not given.")),
  shard_index: Type.Optional(QueryInteger('Which shard of the model this is; 0 where it is not given.')),
  total_shards: Type.Optional(QueryInteger('How many shards the model has; 1 where it is not given.')),
  reservation_id: Type.Optional(ReservationId),
  expected_digest: Type.Optional(ExpectedDigest),
  expected_tree_digest: Type.Optional(ExpectedTreeDigest),
  flat_digest: Type.Optional(QueryBoolean(flatDigest)),
  vram_bytes: Type.Optional(QueryInteger("The shard's exact length; chunked transfer needs it.")),
});
export type UploadQuery = Static<typeof uploadQuery>;

export const CommitBody = namedSchema(
  'CommitRequest',
  {
    shard_id: ShardId,
    model_ref: ModelRef,
    gpu_device: Type.Optional(GpuDevice),
    shard_index: Type.Optional(ShardIndex),
    total_shards: Type.Optional(TotalShards),
    reservation_id: Type.Optional(ReservationId),
    expected_digest: Type.Optional(ExpectedDigest),
    expected_tree_digest: Type.Optional(ExpectedTreeDigest),
    flat_digest: Type.Optional(Type.Boolean({ description: flatDigest })),
    source: strictObject({ type: oneOf(['file'], 'Where the bytes are.'), path: FilePath }),
  },
  'A shard that the worker reads from its own model directory.',
);
export type CommitFields = Static<typeof CommitBody>;

export const Commit = namedSchema(
  'Commit',
  {
    handle: Type.String({ description: 'A compact JWS: the signed statement.' }),
    shard: refTo(Shard),
  },
  'A sealed shard and its handle.',
);
export type CommitView = Static<typeof Commit>;
