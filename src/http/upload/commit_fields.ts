import type { CommitRequest } from '../../residency/commit/request.js';
import { type Digest, parseDigest } from '../../seal/digest.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { CommitFields, UploadQuery } from '../schemas/commit.js';
import { maxBytes, maxShards } from '../schemas/limits.js';
import { omitUndefined, readInteger } from '../serializers/scalars.js';

/** The fields that uploads and commits by reference share. */
export type CommitFieldValues = Omit<CommitRequest, 'vramBytes'>;

/** Checks and converts the fields of a JSON body. @throws WorkerError INVALID_PARAMS */
export function commitFieldsOf(fields: Omit<CommitFields, 'source'>): CommitFieldValues {
  const shardIndex = fields.shard_index ?? 0;
  const totalShards = fields.total_shards ?? 1;
  if (shardIndex >= totalShards) throw invalidParams('shard_index is too large: it must be less than total_shards');
  const flatDigest = fields.flat_digest ?? true;
  if (!flatDigest && fields.expected_tree_digest === undefined) {
    throw invalidParams('flat_digest is false without expected_tree_digest');
  }
  if (!flatDigest && fields.expected_digest !== undefined) {
    throw invalidParams('expected_digest cannot be checked: flat_digest is false');
  }
  return {
    shardId: fields.shard_id,
    modelRef: fields.model_ref,
    shardIndex,
    totalShards,
    flatDigest,
    ...omitUndefined({
      gpuDevice: fields.gpu_device,
      reservationId: fields.reservation_id,
      expectedDigest: digest(fields.expected_digest, 'expected_digest'),
      expectedTreeDigest: digest(fields.expected_tree_digest, 'expected_tree_digest'),
    }),
  };
}

/** Checks and converts the query of an upload, whose values are all text. @throws WorkerError INVALID_PARAMS */
export function commitFieldsOfQuery(query: UploadQuery): CommitFieldValues {
  const { vram_bytes: _, gpu_device, shard_index, total_shards, flat_digest, ...texts } = query;
  return commitFieldsOf({
    ...texts,
    ...omitUndefined({
      gpu_device: integer(gpu_device, 'gpu_device', 0, 65535),
      shard_index: integer(shard_index, 'shard_index', 0, maxShards - 1),
      total_shards: integer(total_shards, 'total_shards', 1, maxShards),
      flat_digest: flat_digest === undefined ? undefined : flat_digest === 'true',
    }),
  });
}

/** The shard's length, if the query has it. @throws WorkerError INVALID_PARAMS */
export const lengthOfQuery = (query: UploadQuery): number | undefined =>
  integer(query.vram_bytes, 'vram_bytes', 1, maxBytes);

const integer = (text: string | undefined, field: string, min: number, max: number): number | undefined =>
  text === undefined ? undefined : readInteger(text, field, min, max);

const digest = (text: string | undefined, field: string): Digest | undefined =>
  text === undefined ? undefined : parseDigest(text, field);
