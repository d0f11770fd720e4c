// URL=… TOKEN=… npm start: plan, commit, poll and release with the functions that orval generates.
// Expects a worker whose model directory has the file `model.bin`. Prints the results as JSON.
import axios from 'axios';
import {
  commit,
  getShard,
  listShards,
  plan,
  ready,
  releaseShard,
  uploadShard,
  verifyHandle,
  verifyShard,
} from './generated/worker.js';

const { URL = '', TOKEN = '' } = process.env;
axios.defaults.baseURL = URL;
axios.defaults.headers.common.Authorization = `Bearer ${TOKEN}`;
axios.interceptors.response.use(undefined, async (error) => {
  throw new Error(JSON.stringify(error.response?.data ?? error.message));
});
const model_ref = 'client:orval';
const bytes = new Blob([new Uint8Array(5000).fill(8)]);

const { data: planned } = await plan({
  model_ref,
  shard_layout: 'tensor_parallel',
  shards: [{ bytes: 5000 }, { bytes: 5000 }],
  reserve: true,
  ttl_seconds: 60,
});
const part = { model_ref, total_shards: 2, reservation_id: planned.reservation?.reservation_id ?? '' };

const { data: uploaded } = await uploadShard(bytes, { ...part, shard_id: 'orval-0', shard_index: 0 });
const source = { type: 'file', path: 'model.bin' } as const;
const { data: committed } = await commit({ ...part, shard_id: 'orval-1', shard_index: 1, source });

const { data: polled } = await ready({ model_ref, max_age_seconds: 60, nonce: 'n' });
const { data: page } = await listShards({ model_ref, limit: 1 });
const { data: verdict } = await verifyHandle({ handle: committed.handle });
const { data: verification } = await verifyShard('orval-0');
const released = await releaseShard('orval-0');
const missing = await getShard('orval-0', { validateStatus: () => true });

console.log(
  JSON.stringify({
    feasible: planned.feasible,
    uploaded: uploaded.shard.digest,
    committed: committed.shard.state,
    ready: polled.ready,
    attested: polled.attestation !== null,
    listed: page.shards.length,
    valid: verdict.valid,
    verified: verification.verified,
    released: released.status,
    missing: missing.status,
  }),
);
