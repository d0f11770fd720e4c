import { WorkerError } from '../errors.js';
import type { Frame } from '../ipc/frame.js';
import { digest, integer, matching, readKeys, visibleText } from '../ipc/keys.js';
import { id } from '../ipc/requests.js';
import type { ShardName } from '../residency/lease/attach.js';
import { maxModelRefChars, maxShards } from '../residency/limits.js';
import type { Digest } from '../seal/digest.js';

const shardId = matching(/^[A-Za-z0-9-]{1,256}$/, '1 to 256 letters, digits and hyphens');
const modelRef = visibleText(maxModelRefChars);
const shardIndex = integer(0, maxShards - 1);
const gpuUuid = matching(/^[A-Za-z0-9/-]{1,128}$/, 'the UUID of a GPU');
const uuid = matching(/^[0-9a-f-]{1,64}$/, 'an id that the worker gave');
const cursor = matching(/^[A-Za-z0-9_=-]{1,512}$/, 'the next_cursor of the previous page');
const maxSeconds = 2 ** 31 - 1;

/** Shards of a page. A page of the longest names fits into a frame. */
const maxListed = 256;

export const readList = ({ fields }: Frame) =>
  readKeys(fields, { id }, { model_ref: modelRef, gpu_uuid: gpuUuid, limit: integer(1, maxListed), cursor });

/** @throws WorkerError INVALID_PARAMS */
export function readAttach({ fields }: Frame) {
  const optional = {
    shard_id: shardId,
    model_ref: modelRef,
    shard_index: shardIndex,
    gpu_uuid: gpuUuid,
    expected_tree_digest: digest,
    max_age_seconds: integer(1, maxSeconds),
    nonce: visibleText(128),
    label: visibleText(128),
  };
  const keys = readKeys(fields, { id }, optional);
  const { shard_id, model_ref, shard_index } = keys;
  const expectedTreeDigest: Digest | undefined = keys.expected_tree_digest;
  return {
    name: nameOf(shard_id, model_ref, shard_index),
    gpuUuid: keys.gpu_uuid,
    expectedTreeDigest,
    maxAgeSeconds: keys.max_age_seconds,
    nonce: keys.nonce ?? null,
    label: keys.label ?? null,
  };
}

function nameOf(shardId?: string, modelRef?: string, shardIndex?: number): ShardName {
  if (shardId !== undefined && modelRef === undefined && shardIndex === undefined) return { shardId };
  if (shardId === undefined && modelRef !== undefined && shardIndex !== undefined) return { modelRef, shardIndex };
  throw new WorkerError('INVALID_PARAMS', 'Either shard_id, or model_ref and shard_index, must be given');
}

export const readDetach = ({ fields }: Frame) => readKeys(fields, { id, lease_id: uuid }, {});

export const readResume = ({ fields }: Frame) => readKeys(fields, { id, lease_id: uuid, allocation_id: uuid }, {});
