import type { ShardPage } from '../../residency/state/shards.js';
import type { ByteRange, ShardSnapshot } from '../../residency/state/snapshot.js';
import type { VerifyReport } from '../../residency/state/verify_report.js';
import { cached, Items, itself, jsonPieces } from '../../residency/status/json_pieces.js';
import type { DriverKind } from '../../seal/handle.js';
import type { ShardJson, ShardListJson, VerificationJson } from '../schemas/shard.js';
import { instantOrNull } from './scalars.js';

/** The driver of the worker, which every serialized shard includes. */
export interface DriverInfo {
  readonly driver: DriverKind;
  readonly simulated: boolean;
}

export const serializeShard = (shard: ShardSnapshot, { driver, simulated }: DriverInfo): ShardJson => ({
  shard_id: shard.shardId,
  model_ref: shard.modelRef,
  shard_index: shard.shardIndex,
  total_shards: shard.totalShards,
  gpu_device: shard.gpuDevice,
  gpu_uuid: shard.gpuUuid,
  vram_bytes: shard.vramBytes,
  digest: shard.digest,
  tree_digest: shard.treeDigest,
  state: shard.state,
  sealed: shard.state === 'sealed',
  received_bytes: shard.receivedBytes,
  sealed_at: instantOrNull(shard.sealedAtMs),
  last_verified_at: instantOrNull(shard.lastVerifiedAtMs),
  driver,
  simulated,
  exportable: shard.exportable,
  exported_at: instantOrNull(shard.exportedAtMs),
  leases: shard.leases,
  kept: shard.kept,
  source: shard.source,
  restorable: shard.source !== null,
  ...(shard.state === 'corrupt' ? { corrupt_ranges: serializeRanges(shard.corruptRanges) } : {}),
});

/** The JSON of an unchanged shard is cached. */
const shardJson = cached(itself, (shard: ShardSnapshot, driver: DriverInfo) =>
  JSON.stringify(serializeShard(shard, driver)),
);

export const shardPageJson = ({ shards, nextCursor }: ShardPage, driver: DriverInfo): Iterable<string> =>
  jsonPieces<ShardListJson>({
    shards: Items.of(shards, (shard) => shardJson(shard, driver)),
    next_cursor: nextCursor,
  });

export const serializeVerification = (report: VerifyReport): VerificationJson => ({
  shard_id: report.shardId,
  verified: report.verified,
  reason: report.reason,
  checks: {
    signature: report.checks.signature,
    residency: report.checks.residency,
    tree_digest: report.checks.treeDigest,
  },
  bytes: report.bytes,
  duration_ms: report.durationMs,
  corrupt_ranges: serializeRanges(report.corruptRanges),
});

const serializeRanges = (ranges: readonly ByteRange[]) => ranges.map(({ offset, length }) => ({ offset, length }));
