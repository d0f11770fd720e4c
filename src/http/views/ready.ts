import type { ReadyReport } from '../../residency/ready.js';
import type { ReadinessView } from '../schemas/ready.js';
import { type Holder, shardView } from './shard.js';

export const readinessView = (report: ReadyReport, holder: Holder): ReadinessView => ({
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
  handles: report.handles.map(({ handle, shard }) => ({ handle, shard: shardView(shard, holder) })),
  attestation: report.attestation,
});
