import Type, { type Static } from 'typebox';
import { workerPhases } from '../../residency/state/lifecycle.js';
import { shardStates } from '../../residency/state/snapshot.js';
import { memoryUses } from '../../residency/status/device_overview.js';
import { GpuDevice, ModelRef, Reason, ShardId, ShardIndex, TotalShards } from './common.js';
import {
  Bytes,
  Count,
  Instant,
  Length,
  NullableDigest,
  NullableInstant,
  namedSchema,
  oneOf,
  QueryInteger,
  strictObject,
} from './make.js';
import { pullSummaryFields } from './pull.js';
import { LostShard, ModelReadiness, Scrub, workerState } from './ready.js';
import { refTo } from './ref.js';
import { CorruptRange, Driver, shardState } from './shard.js';

/** Reasons of each kind that an overview lists. */
export const maxReasons = 100;

/** Corrupt ranges that an overview lists for a shard. */
export const maxCorruptRanges = 256;

const OverviewWorker = namedSchema(
  'OverviewWorker',
  {
    worker_id: Type.String({ description: 'Id of the worker.' }),
    boot_id: Type.String({ description: "Id of the worker's process, new at every start." }),
    version: Type.String({ description: 'Version of the worker.' }),
    started_at: Instant('When the process started.'),
    driver: Driver,
    simulated: Type.Boolean({ description: 'False only on a real GPU.' }),
    state: oneOf(workerPhases, workerState),
    leaving: Type.Boolean({ description: 'Whether a shutdown is announced or has begun.' }),
    accepting: Type.Boolean({ description: 'Whether the worker accepts work, as `/readyz` reports it.' }),
    accepting_reasons: Type.Array(refTo(Reason), { description: 'Why it does not. Empty if it does.' }),
    ready: Type.Boolean({ description: 'Whether `GET /v1/ready` would report `ready`.' }),
    ready_reasons: Type.Array(refTo(Reason), {
      maxItems: maxReasons,
      description: `Why it is not ready. Empty only if \`ready\` is true. At most ${maxReasons} are listed.`,
    }),
    audit_log: oneOf(
      ['off', 'writable', 'unavailable'],
      'The audit log. While it is `unavailable`, the worker refuses changes.',
    ),
    commits_waiting: Count('Admitted commits that wait for a slot.'),
  },
  'The worker as a whole.',
);

const OverviewDevice = namedSchema(
  'OverviewDevice',
  {
    gpu_device: GpuDevice,
    name: Type.String({ description: 'Name that the driver reports.' }),
    uuid: Type.String({ description: 'UUID that the driver reports.' }),
    granularity_bytes: Bytes('Unit of allocations. Each shard takes a multiple of it.'),
    total_bytes: Bytes('Size of the memory. Exactly the sum of the six parts that follow.'),
    shard_bytes: Bytes('Memory of the shards that count as `shard`.'),
    receiving_bytes: Bytes('Memory of the shards that count as `receiving`, with the part that has not arrived yet.'),
    zombie_bytes: Bytes('Memory of the shards that count as `zombie`.'),
    reserved_bytes: Bytes('Memory held by reservations.'),
    free_bytes: Bytes('Memory that a new plan or commit can use.'),
    other_bytes: Bytes('Memory of the driver and of other processes.'),
    reserved_parts: Count('Parts of reservations that no commit has taken.'),
    reserved_until: NullableInstant('When the first of these reservations expires. Null without one.'),
  },
  'A GPU and its whole memory, for a map to scale.',
);
export type OverviewDeviceJson = Static<typeof OverviewDevice>;

const OverviewShard = namedSchema(
  'OverviewShard',
  {
    shard_id: ShardId,
    model_ref: ModelRef,
    shard_index: ShardIndex,
    total_shards: TotalShards,
    gpu_device: GpuDevice,
    state: oneOf(shardStates, shardState),
    vram_bytes: Length('Exact length of the shard in bytes.'),
    received_bytes: Bytes('Number of bytes received so far.'),
    device_bytes: Bytes('Memory that the shard takes on its device. 0 as soon as it is free again.'),
    counts_as: oneOf(
      memoryUses,
      'The part of the device that has these bytes. `receiving`: until the shard is sealed. `zombie`: the shard is ' +
        'released, but other processes still have its memory.',
    ),
    tree_digest: NullableDigest('fs-verity digest of the shard. Null until it is sealed.'),
    last_verified_at: NullableInstant('When the last successful verification started: no byte was read before it.'),
    verification_due_at: NullableInstant(
      'When the worker expects to have verified the shard again. Null if it is not sealed, or if scrubbing is off.',
    ),
    exportable: Type.Boolean({ description: 'Whether other processes can attach the shard.' }),
    leases: Count('Number of leases of other processes on the shard.'),
    kept: Type.Boolean({ description: 'Whether the keeper holds the memory, so that it outlives the worker.' }),
    corrupt_ranges: Type.Array(refTo(CorruptRange), {
      maxItems: maxCorruptRanges,
      description: `Damage that was found. At most ${maxCorruptRanges} ranges are listed.`,
    }),
    corrupt_range_count: Count('Number of corrupt ranges, with those that are not listed.'),
    corrupt_bytes: Bytes('Bytes in all corrupt ranges.'),
    repair: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'State of the repair, in words. Null unless the shard is corrupt.',
    }),
  },
  'A shard as an overview shows it.',
);
export type OverviewShardJson = Static<typeof OverviewShard>;

const OverviewPull = namedSchema(
  'OverviewPull',
  {
    ...pullSummaryFields,
    files: Count('Number of files. 0 until it is known.'),
    files_received: Count('Files whose bytes have all arrived and are verified.'),
  },
  'A pull, with the number of its files.',
);
export type OverviewPullJson = Static<typeof OverviewPull>;

const OverviewLeases = namedSchema(
  'OverviewLeases',
  {
    total: Count('Leases that have not ended.'),
    granted: Count('Leases whose memory is about to be sent.'),
    active: Count('Leases whose process is connected.'),
    lingering: Count('Leases whose process is alive without a connection.'),
    orphaned: Count('Leases of an earlier worker whose process has not resumed them.'),
  },
  'The number of leases by state.',
);

export const Overview = namedSchema(
  'Overview',
  {
    taken_at: Instant(
      "The moment that all other fields describe, on the worker's clock. It alone does not change the `ETag`.",
    ),
    worker: refTo(OverviewWorker),
    scrub: refTo(Scrub),
    leases: refTo(OverviewLeases),
    devices: Type.Array(refTo(OverviewDevice), { description: 'The GPUs. Empty before they are up.' }),
    pulls: Type.Array(refTo(OverviewPull), {
      description: 'Pulls that run, wait or ended recently, ordered by `pull_id`.',
    }),
    models: Type.Array(refTo(ModelReadiness), { description: 'All models, ordered by `model_ref`.' }),
    lost: Type.Array(refTo(LostShard), { description: 'Shards that a restart could not restore.' }),
    shards: Type.Array(refTo(OverviewShard), { description: 'All shards, ordered by `shard_id`.' }),
  },
  'The worker at one moment: its figures agree with each other.',
);
export type OverviewJson = Static<typeof Overview>;

export const overviewSchemas = [
  OverviewWorker,
  OverviewDevice,
  OverviewShard,
  OverviewPull,
  OverviewLeases,
  Overview,
] as const;

export const overviewQuery = strictObject({
  wait_seconds: Type.Optional({
    ...QueryInteger(
      { minimum: 1, maximum: 300 },
      'Long poll: while nothing changed since the response that `If-None-Match` names, wait up to this long. A change of ' +
        '`ready` or `state` ends the wait at once, and so does a shutdown. Other changes, such as those of a transfer, end it ' +
        'at most once a second. Without a change the response is 304.',
    ),
    examples: [30],
  }),
});
export type OverviewFields = Static<typeof overviewQuery>;
