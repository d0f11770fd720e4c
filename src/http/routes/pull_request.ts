import type { PullRequest } from '../../pulls/pull_request.js';
import { type Digest, parseDigest } from '../../seal/digest.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { PullFields } from '../schemas/pull.js';
import { omitUndefined } from '../serializers/scalars.js';

/** Checks and converts the body of a pull. @throws WorkerError INVALID_PARAMS */
export function pullRequestOf(fields: PullFields, maxSeconds: number): PullRequest {
  const { flat_digest: flatDigest = true, deadline_seconds: deadlineSeconds = maxSeconds } = fields;
  if (deadlineSeconds > maxSeconds) {
    throw invalidParams(`deadline_seconds is too large: at most ${maxSeconds} (WORKER_PULL_DEADLINE_SECONDS)`);
  }
  if (!flatDigest && fields.expected_tree === undefined) {
    throw invalidParams('flat_digest is false without expected_tree');
  }
  if (!flatDigest && fields.expected !== undefined) {
    throw invalidParams('expected cannot be checked: flat_digest is false');
  }
  return {
    pullId: fields.pull_id,
    source: fields.source,
    shardIdPrefix: fields.shard_id_prefix,
    expected: digests(fields.expected, 'expected'),
    expectedTree: digests(fields.expected_tree, 'expected_tree'),
    digest: fields.digest ?? 'require',
    formatCheck: fields.format_check ?? 'strict',
    flatDigest,
    bytesPerSecond: fields.bytes_per_second ?? 0,
    deadlineSeconds,
    ...omitUndefined({
      modelRef: fields.model_ref,
      reservationId: fields.reservation_id,
      gpuDevices: fields.gpu_devices,
    }),
  };
}

const digests = (byPath: Readonly<Record<string, string>> | undefined, field: string): ReadonlyMap<string, Digest> =>
  new Map(Object.entries(byPath ?? {}).map(([path, text]) => [path, parseDigest(text, field)]));
