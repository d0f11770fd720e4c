import type { AttestedShard } from '../../residency/status/attestation.js';
import { cached, Items, itself, jsonPieces } from '../../residency/status/json_pieces.js';
import type { ReadyReport } from '../../residency/status/readiness.js';
import type { ReadinessJson } from '../schemas/ready.js';
import { instantOrNull } from './scalars.js';
import { type DriverInfo, serializeShard } from './shard.js';

/** The end of the JSON of every report. An attestation replaces the `null`. */
export const unattestedEnd = 'null}';

/** The JSON of a report. An unchanged item is serialized once, because a worker can have thousands of shards. */
export const readinessJson = (report: ReadyReport, driver: DriverInfo): Iterable<string> =>
  jsonPieces<ReadinessJson>({
    ready: report.ready,
    state: report.state,
    worker_id: report.workerId,
    boot_id: report.bootId,
    driver: report.driver,
    nccl_group_id: null,
    reasons: Items.of(report.reasons, ({ code, detail }) => JSON.stringify({ code, detail })),
    models: Items.of(report.models, modelJson),
    handles: Items.of(report.handles, (handle) => handleJson(handle, driver)),
    lost: Items.of(report.lost, lostJson),
    scrub: serializeScrub(report),
    attestation: null,
  });

export const modelJson = cached(itself, (model: ReadyReport['models'][number]) =>
  JSON.stringify({
    model_ref: model.modelRef,
    ready: model.ready,
    total_shards: model.totalShards,
    resident_shards: model.residentShards,
  }),
);

export const lostJson = cached(itself, ({ shardId, modelRef, detail }: ReadyReport['lost'][number]) =>
  JSON.stringify({ shard_id: shardId, model_ref: modelRef, detail }),
);

const handleJson = cached(
  // Its handle is fixed: a shard has another snapshot after each change.
  ({ shard }: AttestedShard) => shard,
  ({ seal, shard }, driver: DriverInfo) =>
    `{"handle":${JSON.stringify(seal.handle)},"shard":${JSON.stringify(serializeShard(shard, driver))}}`,
);

export const serializeScrub = ({
  scrub,
  oldestVerifiedAtMs,
}: Pick<ReadyReport, 'scrub' | 'oldestVerifiedAtMs'>): ReadinessJson['scrub'] => ({
  state: scrub.state,
  period_seconds: scrub.periodSeconds,
  bytes_per_second: scrub.bytesPerSecond,
  shards_done: scrub.shardsDone,
  shards_total: scrub.shardsTotal,
  last_pass_finished_at: instantOrNull(scrub.lastPassFinishedAtMs),
  oldest_verified_at: instantOrNull(oldestVerifiedAtMs),
  overdue_shards: scrub.overdueShards,
  reasons: scrub.reasons.map(({ code, detail }) => ({ code, detail })),
});
