import type { LeaseListJson } from '../../src/http/schemas/lease.js';
import type {
  OverviewDeviceJson,
  OverviewJson,
  OverviewPullJson,
  OverviewShardJson,
} from '../../src/http/schemas/overview.js';

/** The worker's clock in these overviews. */
export const takenAtMs = Date.UTC(2026, 10, 26, 14, 3, 22);

const GiB = 2 ** 30;
const MiB = 2 ** 20;
const at = (secondsAgo: number) => new Date(takenAtMs - secondsAgo * 1000).toISOString();

export function shardOf(index: number, changes: Partial<OverviewShardJson> = {}): OverviewShardJson {
  const verifiedSecondsAgo = 3 + ((index * 7) % 48);
  const vramBytes = changes.vram_bytes ?? 4 * GiB;
  return {
    shard_id: `llama-70b-${index}`,
    model_ref: 'hf:meta-llama/Llama-3.3-70B-Instruct@6f6073b',
    shard_index: index,
    total_shards: 8,
    gpu_device: 0,
    state: 'sealed',
    vram_bytes: vramBytes,
    received_bytes: vramBytes,
    device_bytes: Math.ceil(vramBytes / (2 * MiB)) * 2 * MiB,
    counts_as: 'shard',
    tree_digest: `sha256:${index.toString(16).padStart(64, '0')}`,
    last_verified_at: at(verifiedSecondsAgo),
    verification_due_at: at(verifiedSecondsAgo - 60),
    exportable: true,
    leases: 0,
    kept: false,
    corrupt_ranges: [],
    corrupt_range_count: 0,
    corrupt_bytes: 0,
    repair: null,
    ...changes,
  };
}

/** A device whose parts are those of its shards. */
export function deviceOf(
  shards: readonly OverviewShardJson[],
  changes: Partial<OverviewDeviceJson> = {},
): OverviewDeviceJson {
  const gpuDevice = changes.gpu_device ?? 0;
  const bytesOf = (use: OverviewShardJson['counts_as']) =>
    shards
      .filter(({ gpu_device, counts_as }) => gpu_device === gpuDevice && counts_as === use)
      .reduce((total, { device_bytes }) => total + device_bytes, 0);
  const parts = {
    total_bytes: 141 * GiB,
    shard_bytes: bytesOf('shard'),
    receiving_bytes: bytesOf('receiving'),
    zombie_bytes: bytesOf('zombie'),
    reserved_bytes: 0,
    other_bytes: GiB / 2,
    ...changes,
  };
  const { total_bytes: total, ...used } = parts;
  const usedBytes =
    used.shard_bytes + used.receiving_bytes + used.zombie_bytes + used.reserved_bytes + used.other_bytes;
  return {
    gpu_device: gpuDevice,
    name: 'NVIDIA H200',
    uuid: `GPU-0f6c2a1e-0000-4000-8000-00000000000${gpuDevice}`,
    granularity_bytes: 2 * MiB,
    free_bytes: total - usedBytes,
    reserved_parts: 0,
    reserved_until: null,
    ...parts,
  };
}

/** An overview of these shards, on these devices. */
export function overviewOf(shards: readonly OverviewShardJson[], changes: Partial<OverviewJson> = {}): OverviewJson {
  const isDamaged = shards.some(({ state }) => state === 'corrupt');
  const isReady = shards.length > 0 && !isDamaged;
  const reason = isDamaged
    ? { code: 'SHARD_CORRUPT', detail: 'Shard llama-70b-3 is corrupt: its repair is in progress' }
    : { code: 'NO_MODEL_READY', detail: 'No model has all its shards sealed' };
  const verified = shards.flatMap(({ last_verified_at: time }) => (time === null ? [] : [time])).sort();
  const models = [...new Set(shards.map(({ model_ref }) => model_ref))].sort();
  const isGood = ({ state }: OverviewShardJson) => state === 'sealed';
  return {
    taken_at: at(0),
    worker: {
      worker_id: 'gpu-host-17',
      boot_id: '0f6c2a1e-7d2b-4c83-9a55-2f1f6f0c9b11',
      version: '0.1.0',
      started_at: at(86_400),
      driver: 'cuda',
      simulated: false,
      state: 'ready',
      leaving: false,
      accepting: true,
      accepting_reasons: [],
      ready: isReady,
      ready_reasons: isReady ? [] : [reason],
      audit_log: 'writable',
      commits_waiting: 0,
    },
    scrub: {
      state: 'running',
      period_seconds: 3600,
      bytes_per_second: 2 * GiB,
      shards_done: Math.floor(shards.length * 0.6),
      shards_total: shards.length,
      last_pass_finished_at: shards.length === 0 ? null : at(21),
      oldest_verified_at: verified[0] ?? null,
      overdue_shards: 0,
      reasons: [],
    },
    leases: { total: 0, granted: 0, active: 0, lingering: 0, orphaned: 0 },
    devices: [deviceOf(shards)],
    pulls: [],
    models: models.map((model_ref) => {
      const own = shards.filter((shard) => shard.model_ref === model_ref);
      const resident = own.filter(isGood).length;
      return { model_ref, ready: resident === own.length, total_shards: own.length, resident_shards: resident };
    }),
    lost: [],
    shards: [...shards],
    ...changes,
  };
}

export const empty = overviewOf([]);

const pull: OverviewPullJson = {
  pull_id: 'qwen-2026-11',
  state: 'receiving',
  model_ref: 'hf:Qwen/Qwen3-32B@9216db5',
  shard_id_prefix: 'qwen-32b',
  bytes: 24 * GiB,
  received_bytes: 15.5 * GiB,
  fetched_bytes: 15.5 * GiB,
  bytes_per_second: 1.9 * GiB,
  remaining_seconds: 5,
  created_at: at(9),
  ended_at: null,
  problem: null,
  files: 3,
  files_received: 1,
};

const llama = Array.from({ length: 8 }, (_, index) =>
  shardOf(index, { vram_bytes: 8.6 * GiB, leases: index < 2 ? 1 : 0 }),
);
const qwen = Array.from({ length: 3 }, (_, index) =>
  shardOf(index, {
    shard_id: `qwen-32b-${index}`,
    model_ref: 'hf:Qwen/Qwen3-32B@9216db5',
    total_shards: 3,
    vram_bytes: 8 * GiB,
    received_bytes: [8, 5.2, 2.3].map((size) => size * GiB)[index] ?? 0,
    state: index === 0 ? 'sealing' : 'receiving',
    counts_as: 'receiving',
    tree_digest: null,
    last_verified_at: null,
    verification_due_at: null,
  }),
);
const zombie = shardOf(0, {
  shard_id: 'gemma-old-0',
  model_ref: 'hf:google/gemma-2-9b@11c9b30',
  total_shards: 1,
  vram_bytes: 9 * GiB,
  state: 'releasing',
  counts_as: 'zombie',
  leases: 1,
  last_verified_at: null,
  verification_due_at: null,
});
const working = [zombie, ...llama, ...qwen];

/** Everything that the map can show, but damage. */
export const busy = overviewOf(working, {
  devices: [deviceOf(working, { reserved_bytes: 14 * GiB, reserved_parts: 2, reserved_until: at(-240) })],
  pulls: [pull],
  leases: { total: 3, granted: 0, active: 2, lingering: 1, orphaned: 0 },
  models: [
    { model_ref: 'hf:Qwen/Qwen3-32B@9216db5', ready: false, total_shards: 3, resident_shards: 0 },
    { model_ref: 'hf:meta-llama/Llama-3.3-70B-Instruct@6f6073b', ready: true, total_shards: 8, resident_shards: 8 },
  ],
});

const withDamage = working.map((shard) =>
  shard.shard_id === 'llama-70b-3'
    ? {
        ...shard,
        state: 'corrupt' as const,
        corrupt_ranges: [
          { offset: 3 * GiB, length: MiB / 2 },
          { offset: 6 * GiB, length: MiB },
        ],
        corrupt_range_count: 2,
        corrupt_bytes: 1.5 * MiB,
        repair: 'its repair is in progress',
        verification_due_at: null,
      }
    : shard,
);
export const damaged = overviewOf(withDamage, { ...busy, ...pick(overviewOf(withDamage)), shards: withDamage });

function pick({ worker, scrub }: OverviewJson) {
  return { worker, scrub };
}

/** As many small shards of many models, on two devices. */
export function many(count: number): OverviewJson {
  const shards = Array.from({ length: count }, (_, index) =>
    shardOf(index, {
      shard_id: `shard-${String(index).padStart(5, '0')}`,
      model_ref: `hf:org/model-${index % 40}@rev`,
      total_shards: 1,
      shard_index: 0,
      gpu_device: index % 2,
      vram_bytes: Math.floor((110 * GiB * 2) / count / (2 * MiB)) * 2 * MiB,
    }),
  );
  return overviewOf(shards, { devices: [0, 1].map((gpu_device) => deviceOf(shards, { gpu_device })) });
}

export const leases: LeaseListJson = {
  leases: [0, 1, 2].map((index) => ({
    lease_id: `lease-${index}`,
    shard_id: index < 2 ? `llama-70b-${index}` : 'gemma-old-0',
    state: index < 2 ? 'active' : 'lingering',
    uid: 1000,
    gid: 1000,
    pid: 48_211 + index,
    label: index < 2 ? 'llama-server' : null,
    granted_at: at(3600 + index * 40),
  })),
  next_cursor: null,
};

const entry = (seq: number, secondsAgo: number, event: string, details: object) => ({
  seq,
  time: at(secondsAgo),
  event,
  severity: 'info',
  actor: 'worker',
  request_id: null,
  ...details,
  previous: '0'.repeat(64),
  checksum: '1'.repeat(64),
});

export const audit = {
  entries: [
    entry(1841, 3, 'SealVerified', { shard_id: 'llama-70b-0', last_verified_at: at(3) }),
    entry(1840, 5, 'VramAllocated', {
      actor: 'operator:7fad4c6cf84b0d72',
      shard_id: 'qwen-32b-2',
      vram_bytes: 8 * GiB,
    }),
    entry(1839, 9, 'SealVerificationFailed', {
      severity: 'critical',
      shard_id: 'llama-70b-3',
      corrupt_ranges: [{ offset: 3 * GiB, length: MiB / 2 }],
    }),
    entry(1838, 64, 'LeaseGranted', { actor: 'uid:1000', shard_id: 'llama-70b-1', lease_id: 'lease-1' }),
  ],
  next_before_seq: 1838,
};

export const olderAudit = {
  entries: [entry(1837, 90, 'CommitAccepted', { shard_id: 'llama-70b-2' })],
  next_before_seq: null,
};
