import type { CommitRequest } from '../../residency/commit/request.js';
import { type Digest, parseDigest } from '../../seal/digest.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { CommitFields } from '../schemas/commit.js';
import { omitUndefined } from '../serializers/scalars.js';

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
      exportable: fields.exportable,
      expectedDigest: digest(fields.expected_digest, 'expected_digest'),
      expectedTreeDigest: digest(fields.expected_tree_digest, 'expected_tree_digest'),
    }),
  };
}

const digest = (text: string | undefined, field: string): Digest | undefined =>
  text === undefined ? undefined : parseDigest(text, field);
