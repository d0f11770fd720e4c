import type { ReadyReport } from '../../residency/status/readiness.js';
import type { ReadinessJson } from '../schemas/ready.js';
import { instantOrNull } from './scalars.js';
import { type DriverInfo, serializeShard } from './shard.js';

export const serializeReadiness = (report: ReadyReport, driver: DriverInfo): ReadinessJson => ({
  ready: report.ready,
  state: report.state,
  worker_id: report.workerId,
  boot_id: report.bootId,
  driver: report.driver,
  nccl_group_id: null,
  reasons: report.reasons.map(({ code, detail }) => ({ code, detail })),
  models: report.models.map((model) => ({
    model_ref: model.modelRef,
    ready: model.ready,
    total_shards: model.totalShards,
    resident_shards: model.residentShards,
  })),
  handles: report.handles.map(({ handle, shard }) => ({ handle, shard: serializeShard(shard, driver) })),
  lost: report.lost.map(({ shardId, modelRef, detail }) => ({ shard_id: shardId, model_ref: modelRef, detail })),
  scrub: {
    state: report.scrub.state,
    period_seconds: report.scrub.periodSeconds,
    bytes_per_second: report.scrub.bytesPerSecond,
    shards_done: report.scrub.shardsDone,
    shards_total: report.scrub.shardsTotal,
    last_pass_finished_at: instantOrNull(report.scrub.lastPassFinishedAtMs),
    oldest_verified_at: instantOrNull(report.oldestVerifiedAtMs),
    overdue_shards: report.scrub.overdueShards,
    reasons: report.scrub.reasons.map(({ code, detail }) => ({ code, detail })),
  },
  attestation: report.attestation,
});
