import Type, { type Static } from 'typebox';
import {
  ExpectedDigest,
  ExpectedTreeDigest,
  GpuDevice,
  ModelRef,
  ReservationId,
  ShardId,
  ShardIndex,
  TotalShards,
} from './common.js';
import { gpuDeviceRange, lengthRange, shardIndexRange, totalShardsRange } from './limits.js';
import { namedSchema, QueryBoolean, QueryInteger, strictObject } from './make.js';
import { refTo } from './ref.js';
import { textHeader } from './response.js';
import { Shard } from './shard.js';
import { Source } from './source.js';

const flatDigest =
  'False skips the serial SHA-256, and `digest` is null. It needs `expected_tree_digest`. Default: true.';

const exportable =
  'Whether other processes can attach the shard. Default: true if the worker has an attach socket or a keeper, and the GPU can share memory.';

const gpuDevice = "GPU index. Default: the reservation's GPU, or the one with the most available memory.";
const shardIndex = 'Index of this shard in the model. Default: 0.';
const totalShards = 'Number of shards of the model. Default: 1.';

/** The fields that uploads have in their query. */
const uploadProperties = {
  shard_id: { ...ShardId, examples: ['llama-0'] },
  model_ref: { ...ModelRef, examples: ['llama'] },
  gpu_device: Type.Optional(QueryInteger(gpuDeviceRange, gpuDevice)),
  shard_index: Type.Optional(QueryInteger(shardIndexRange, shardIndex)),
  total_shards: Type.Optional(QueryInteger(totalShardsRange, totalShards)),
  reservation_id: Type.Optional(ReservationId),
  expected_digest: Type.Optional(ExpectedDigest),
  expected_tree_digest: Type.Optional(ExpectedTreeDigest),
  flat_digest: Type.Optional(QueryBoolean(flatDigest)),
  exportable: Type.Optional(QueryBoolean(exportable)),
};

/** The query of an upload. */
export const uploadQuery = strictObject({
  ...uploadProperties,
  vram_bytes: Type.Optional(
    QueryInteger(lengthRange, 'Exact length of the shard in bytes. Chunked transfer needs it.'),
  ),
});
export type UploadQuery = Static<typeof uploadQuery>;

/** A header of an upload, for the OpenAPI document. */
export const uploadHeaders = {
  type: 'object',
  properties: {
    'Repr-Digest': textHeader('`sha-256=:BASE64:` (RFC 9530). Counts as `expected_digest`.'),
  },
};

/** The query of a resumable upload, and the values in its `Upload-Metadata`. Each field is in one of the two, or in both. */
export const resumableQuery = strictObject({
  ...uploadProperties,
  shard_id: Type.Optional(uploadProperties.shard_id),
  model_ref: Type.Optional(uploadProperties.model_ref),
});
export type ResumableQuery = Static<typeof resumableQuery>;

export const CommitBody = namedSchema(
  'CommitRequest',
  {
    shard_id: ShardId,
    model_ref: ModelRef,
    gpu_device: Type.Optional({ ...GpuDevice, description: gpuDevice }),
    shard_index: Type.Optional({ ...ShardIndex, description: shardIndex }),
    total_shards: Type.Optional({ ...TotalShards, description: totalShards }),
    reservation_id: Type.Optional(ReservationId),
    expected_digest: Type.Optional(ExpectedDigest),
    expected_tree_digest: Type.Optional(ExpectedTreeDigest),
    flat_digest: Type.Optional(Type.Boolean({ description: flatDigest })),
    exportable: Type.Optional(Type.Boolean({ description: exportable })),
    source: refTo(Source),
  },
  'A commit by reference: the worker reads the shard from a source.',
);
export type CommitFields = Static<typeof CommitBody>;

export const Commit = namedSchema(
  'Commit',
  {
    handle: Type.String({ description: 'The handle: a compact JWS, the signed statement about the shard.' }),
    shard: refTo(Shard),
  },
  'A sealed shard and its handle.',
);
export type CommitJson = Static<typeof Commit>;
