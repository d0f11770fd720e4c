import type { CommitFields, CommitJson } from '../schemas/commit.js';
import type { DeviceJson } from '../schemas/device.js';
import type { HandleVerdictJson } from '../schemas/handle.js';
import type { JwkSetJson } from '../schemas/keys.js';
import type { LeaseJson, LeaseListJson } from '../schemas/lease.js';
import type { PlanFields, PlanJson, ReservationJson } from '../schemas/plan.js';
import type { HealthJson, ReadinessJson } from '../schemas/ready.js';
import type { ShardJson, ShardListJson, VerificationJson } from '../schemas/shard.js';
import { auditExample } from './audit_example.js';
import { overviewExample } from './overview_example.js';
import { pinnedModelRef as modelRef, pullExamples, revision } from './pull_examples.js';

const uuid = 'GPU-6b1f0c1e-93a4-4e0b-9a3c-1d2e3f405162';
const digest = 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const treeDigest = 'sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95';
const handle = 'eyJhbGciOiJIUzI1NiIsInR5cCI6InZyYW0tc2VhbCtqd3MifQ.eyJpc3MiOiJ3b3JrZXItMSJ9.c2lnbmF0dXJl';

const device: DeviceJson = {
  gpu_device: 0,
  name: 'Simulated GPU',
  uuid,
  total_bytes: 25769803776,
  free_bytes: 25767706624,
  reserved_bytes: 0,
  available_bytes: 25767706624,
  zombie_bytes: 0,
};

const shard: ShardJson = {
  shard_id: 'llama-0',
  model_ref: modelRef,
  shard_index: 0,
  total_shards: 1,
  gpu_device: 0,
  gpu_uuid: uuid,
  vram_bytes: 723869,
  digest,
  tree_digest: treeDigest,
  state: 'sealed',
  sealed: true,
  received_bytes: 723869,
  sealed_at: '2026-01-05T10:00:00.000Z',
  last_verified_at: '2026-01-05T10:00:00.000Z',
  driver: 'simulated',
  simulated: true,
  exportable: true,
  exported_at: '2026-01-05T10:00:01.000Z',
  leases: 1,
  kept: true,
  source: null,
  restorable: false,
};

const lease: LeaseJson = {
  lease_id: '4f1c8a52-7d0e-4c1b-9b43-5a6d7e8f9010',
  shard_id: 'llama-0',
  state: 'active',
  uid: 1000,
  gid: 1000,
  pid: 4242,
  label: 'rank0',
  granted_at: '2026-01-05T10:00:01.000Z',
};

const leases: LeaseListJson = { leases: [lease], next_cursor: null };

const planRequest: PlanFields = { model_ref: modelRef, model_bytes: 723869, shard_layout: 'single' };

const plan: PlanJson = {
  feasible: true,
  vram_required: 2097152,
  shard_plan: [{ shard_index: 0, total_shards: 1, gpu_device: 0, vram_bytes: 723869 }],
  devices: [device],
  reservation: null,
  reason: null,
};

const reservation: ReservationJson = {
  reservation_id: '0d9a3f0e-6f2c-4c55-8a39-0f3d2f1b7c10',
  expires_at: '2026-01-05T10:01:00.000Z',
};

const commitRequestOf = (source: CommitFields['source']): CommitFields => ({
  shard_id: 'llama-0',
  model_ref: modelRef,
  expected_digest: digest,
  source,
});

/** One for each type of source. */
const commitRequests = {
  file: commitRequestOf({ type: 'file', path: 'tinygemma3.gguf' }),
  http: commitRequestOf({ type: 'http', url: 'https://mirror.lab/models/tinygemma3.gguf' }),
  hf: commitRequestOf({
    type: 'hf',
    repo: 'ggml-org/tinygemma3-GGUF',
    revision,
    files: ['tinygemma3-Q8_0.gguf'],
  }),
  hf_cache: commitRequestOf({
    type: 'hf_cache',
    repo: 'ggml-org/tinygemma3-GGUF',
    revision,
    files: ['tinygemma3-Q8_0.gguf'],
  }),
  oci: commitRequestOf({ type: 'oci', name: 'lab', repository: 'models/tinygemma3', reference: 'q8' }),
  s3: commitRequestOf({ type: 's3', name: 'ceph', bucket: 'models', key: 'tinygemma3.gguf' }),
};

const commit: CommitJson = { handle, shard };

const ready: ReadinessJson = {
  ready: true,
  state: 'ready',
  worker_id: 'worker-1',
  boot_id: '5f0a4a2e-9f5c-4a57-8f0e-2b1c3d4e5f60',
  driver: 'simulated',
  nccl_group_id: null,
  reasons: [],
  models: [{ model_ref: modelRef, ready: true, total_shards: 1, resident_shards: 1 }],
  handles: [{ handle, shard }],
  lost: [],
  scrub: {
    state: 'waiting',
    period_seconds: 3600,
    bytes_per_second: 1073741824,
    shards_done: 1,
    shards_total: 1,
    last_pass_finished_at: shard.last_verified_at,
    oldest_verified_at: shard.last_verified_at,
    overdue_shards: 0,
    reasons: [],
  },
  attestation: null,
};

const notReady: ReadinessJson = {
  ...ready,
  ready: false,
  reasons: [{ code: 'NO_MODEL_READY', detail: 'No model has all its shards sealed' }],
  models: [],
  handles: [],
};

const shards: ShardListJson = { shards: [shard], next_cursor: null };

const verification: VerificationJson = {
  shard_id: 'llama-0',
  verified: true,
  reason: null,
  checks: { signature: true, residency: true, tree_digest: true },
  bytes: 723869,
  duration_ms: 3,
  corrupt_ranges: [],
};

const verdict: HandleVerdictJson = {
  valid: true,
  reason: null,
  claims: {
    iss: 'worker-1',
    boot_id: ready.boot_id,
    jti: '7a1d6d1c-0d3e-4b70-9c1e-2f3a4b5c6d70',
    iat: 1767607200,
    shard_id: shard.shard_id,
    model_ref: modelRef,
    shard_index: 0,
    total_shards: 1,
    gpu_device: 0,
    gpu_uuid: uuid,
    vram_bytes: 723869,
    digest,
    tree_digest: treeDigest,
    expected: 'sha256',
    sealed_at: '2026-01-05T10:00:00.000Z',
    exportable: true,
    exported_at: null,
    driver: 'simulated',
    simulated: true,
  },
};

/** The key pair of RFC 8037, appendix A. */
const publicKeys: JwkSetJson = {
  keys: [
    {
      kty: 'OKP',
      crv: 'Ed25519',
      x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
      kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
      use: 'sig',
      alg: 'EdDSA',
    },
  ],
};

const healthy: HealthJson = { ready: true, reasons: [] };
const unhealthy: HealthJson = { ready: false, reasons: [{ code: 'DRAINING', detail: 'The worker is shutting down' }] };

/** The request of one operation, and its responses by status. */
export interface OperationExamples {
  readonly request?: object;
  /** Several requests, by their names. */
  readonly requests?: Readonly<Record<string, object>>;
  readonly responses: Readonly<Record<string, unknown>>;
}

/** Examples of every request body and response body in the OpenAPI document, by operation. */
export const examples: Readonly<Record<string, OperationExamples>> = {
  plan: { request: planRequest, responses: { 200: plan } },
  renewReservation: { request: { ttl_seconds: 120 }, responses: { 200: reservation } },
  listDevices: { responses: { 200: { devices: [device] } } },
  commit: { requests: commitRequests, responses: { 200: commit, 201: commit } },
  uploadShard: { responses: { 200: commit, 201: commit } },
  getUpload: { responses: { 200: commit } },
  ...pullExamples,
  listShards: { responses: { 200: shards } },
  getShard: { responses: { 200: shard } },
  releaseShard: {
    responses: {
      202: {
        ...shard,
        state: 'releasing',
        sealed: false,
        digest: null,
        tree_digest: null,
        sealed_at: null,
        last_verified_at: null,
        exported_at: null,
      },
    },
  },
  listLeases: { responses: { 200: leases } },
  listShardLeases: { responses: { 200: leases } },
  endLease: { responses: { 200: { ...lease, state: 'lingering' } } },
  verifyShard: { request: {}, responses: { 200: verification } },
  verifyHandle: { request: { handle }, responses: { 200: verdict } },
  ready: { responses: { 200: ready, 503: notReady } },
  overview: { responses: { 200: overviewExample(ready, device, shard) } },
  listAuditEntries: { responses: { 200: auditExample } },
  publicKeys: { responses: { 200: publicKeys } },
  livez: { responses: { 200: { status: 'ok' } } },
  readyz: { responses: { 200: healthy, 503: unhealthy } },
  metrics: { responses: { 200: '# TYPE vram_commits_waiting gauge\nvram_commits_waiting 0\n' } },
};
