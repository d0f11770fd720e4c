import type { PullSnapshot } from '../../pulls/pull.js';
import type { DeviceOverview } from '../../residency/status/device_overview.js';
import { cached, Items, itself, jsonPieces } from '../../residency/status/json_pieces.js';
import type { Overview, OverviewShard } from '../../residency/status/overview.js';
import type { OverviewPullJson, OverviewShardJson } from '../schemas/overview.js';
import { maxCorruptRanges, maxReasons, type OverviewDeviceJson, type OverviewJson } from '../schemas/overview.js';
import { serializePullSummary } from './pull.js';
import { lostJson, modelJson, serializeScrub } from './ready.js';
import { instant, instantOrNull } from './scalars.js';
import type { DriverInfo } from './shard.js';

/** What an overview also shows of the process. */
export interface ProcessInfo extends DriverInfo {
  readonly version: string;
  readonly startedAtMs: number;
}

/** The start of the JSON of an overview, with the moment that it describes. */
export const overviewStart = (takenAtMs: number): string => `{"taken_at":${JSON.stringify(instant(takenAtMs))},`;

/** The rest of the JSON of an overview, after `overviewStart`. An unchanged item is serialized once. */
export function* overviewJson(
  overview: Overview,
  pulls: readonly PullSnapshot[],
  info: ProcessInfo,
): Generator<string> {
  const { ready, devices, shards } = overview;
  const periodMs = ready.scrub.state === 'off' ? null : ready.scrub.periodSeconds * 1000;
  const pieces = jsonPieces<Omit<OverviewJson, 'taken_at'>>({
    worker: serializeWorker(overview, info),
    scrub: serializeScrub(ready),
    leases: serializeLeases(overview),
    devices: devices.map(serializeDevice),
    pulls: Items.of(pulls, pullJson),
    models: Items.of(ready.models, modelJson),
    lost: Items.of(ready.lost, lostJson),
    shards: Items.of(shards, (shard) => shardJson(shard, periodMs)),
  });
  let isFirst = true;
  for (const piece of pieces) {
    // The brace is in `overviewStart`.
    yield isFirst ? piece.slice(1) : piece;
    isFirst = false;
  }
}

function serializeWorker({ ready, health, ...overview }: Overview, info: ProcessInfo): OverviewJson['worker'] {
  return {
    worker_id: ready.workerId,
    boot_id: ready.bootId,
    version: info.version,
    started_at: instant(info.startedAtMs),
    driver: info.driver,
    simulated: info.simulated,
    state: ready.state,
    leaving: overview.isLeaving,
    accepting: health.ok,
    accepting_reasons: serializeReasons(health.reasons),
    ready: ready.ready,
    ready_reasons: serializeReasons(ready.reasons),
    audit_log: overview.hasAuditLog ? (overview.isAuditWritable ? 'writable' : 'unavailable') : 'off',
    commits_waiting: overview.commitsWaiting,
  };
}

const serializeReasons = (reasons: Overview['health']['reasons']) =>
  reasons.slice(0, maxReasons).map(({ code, detail }) => ({ code, detail }));

const serializeLeases = ({ leasesByState }: Overview): OverviewJson['leases'] => {
  const { granted, active, lingering, orphaned } = leasesByState;
  return { total: granted + active + lingering + orphaned, granted, active, lingering, orphaned };
};

const serializeDevice = (device: DeviceOverview): OverviewDeviceJson => ({
  gpu_device: device.gpuDevice,
  name: device.name,
  uuid: device.uuid,
  granularity_bytes: device.granularityBytes,
  total_bytes: device.totalBytes,
  shard_bytes: device.shardBytes,
  receiving_bytes: device.receivingBytes,
  zombie_bytes: device.zombieBytes,
  reserved_bytes: device.reservedBytes,
  free_bytes: device.freeBytes,
  other_bytes: device.otherBytes,
  reserved_parts: device.reserved?.parts ?? 0,
  reserved_until: instantOrNull(device.reserved?.expiresAtMs ?? null),
});

/** The period is the same for the life of the worker. */
const shardJson = cached(
  ({ shard }: OverviewShard) => shard,
  (shard: OverviewShard, periodMs: number | null) => JSON.stringify(serializeShard(shard, periodMs)),
  ({ deviceBytes }: OverviewShard) => deviceBytes,
);

function serializeShard(
  { shard, deviceBytes, use, repairStatus }: OverviewShard,
  periodMs: number | null,
): OverviewShardJson {
  const { lastVerifiedAtMs, corruptRanges } = shard;
  const isDue = shard.state === 'sealed' && lastVerifiedAtMs !== null && periodMs !== null;
  return {
    shard_id: shard.shardId,
    model_ref: shard.modelRef,
    shard_index: shard.shardIndex,
    total_shards: shard.totalShards,
    gpu_device: shard.gpuDevice,
    state: shard.state,
    vram_bytes: shard.vramBytes,
    received_bytes: shard.receivedBytes,
    device_bytes: deviceBytes,
    counts_as: use,
    tree_digest: shard.treeDigest,
    last_verified_at: instantOrNull(lastVerifiedAtMs),
    verification_due_at: isDue ? instant(lastVerifiedAtMs + periodMs) : null,
    exportable: shard.exportable,
    leases: shard.leases,
    kept: shard.kept,
    corrupt_ranges: corruptRanges.slice(0, maxCorruptRanges).map(({ offset, length }) => ({ offset, length })),
    corrupt_range_count: corruptRanges.length,
    corrupt_bytes: corruptRanges.reduce((sum, { length }) => sum + length, 0),
    repair: repairStatus,
  };
}

const pullJson = cached(itself, (pull: PullSnapshot) => JSON.stringify(serializePull(pull)));

const serializePull = (pull: PullSnapshot): OverviewPullJson => ({
  ...serializePullSummary(pull),
  files: pull.files.length,
  files_received: pull.files.filter(({ state }) => state === 'sealing' || state === 'sealed').length,
});
