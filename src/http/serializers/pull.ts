import type { WorkerError } from '../../errors.js';
import type { PullSnapshot } from '../../pulls/pull.js';
import type { PullFileSnapshot } from '../../pulls/pull_file.js';
import type { PullPage } from '../../pulls/pull_queue.js';
import { problemOf } from '../errors/problem.js';
import type { ProblemJson } from '../schemas/problem.js';
import type { PullFileJson, PullJson, PullListJson, PullSummaryJson } from '../schemas/pull.js';
import { instant, instantOrNull } from './scalars.js';

const problemOrNull = (error: WorkerError | null, { requestId }: PullSnapshot): ProblemJson | null =>
  error && problemOf(error, requestId ?? undefined);

export const serializePullFile = (file: PullFileSnapshot, pull: PullSnapshot): PullFileJson => ({
  path: file.path,
  shard_id: file.shardId,
  state: file.state,
  bytes: file.bytes,
  received_bytes: file.receivedBytes,
  attempts: file.attempts,
  last_problem: problemOrNull(file.lastProblem, pull),
});

export const serializePullSummary = (pull: PullSnapshot): PullSummaryJson => ({
  pull_id: pull.pullId,
  state: pull.state,
  model_ref: pull.modelRef,
  shard_id_prefix: pull.shardIdPrefix,
  bytes: pull.bytes,
  received_bytes: pull.receivedBytes,
  fetched_bytes: pull.fetchedBytes,
  bytes_per_second: pull.bytesPerSecond,
  remaining_seconds: pull.remainingSeconds,
  created_at: instant(pull.createdAtMs),
  ended_at: instantOrNull(pull.endedAtMs),
  problem: problemOrNull(pull.problem, pull),
});

export const serializePull = (pull: PullSnapshot): PullJson => ({
  ...serializePullSummary(pull),
  last_problem: problemOrNull(pull.lastProblem, pull),
  resolved: pull.resolved && {
    model_ref: pull.resolved.modelRef,
    immutable: pull.resolved.isImmutable,
    skipped: [...pull.resolved.skipped],
  },
  files: pull.files.map((file) => serializePullFile(file, pull)),
});

export const serializePulls = ({ pulls, nextCursor }: PullPage): PullListJson => ({
  pulls: pulls.map(serializePullSummary),
  next_cursor: nextCursor,
});
