// URL=… TOKEN=… npm start: plan, commit, poll and release with a client of openapi-fetch.
// Expects a worker whose model directory has the file `model.bin`. Prints the results as JSON.
import createClient from 'openapi-fetch';
import type { components, paths } from './generated/api.js';

const { URL = '', TOKEN = '' } = process.env;
const client = createClient<paths>({ baseUrl: URL, headers: { Authorization: `Bearer ${TOKEN}` } });
const model_ref = 'client:openapi-fetch';
const bytes = new Uint8Array(5000).fill(7);

/** The data of a response. @throws Error with the problem that the worker returned */
function dataOf<T>({ data, error }: { data?: T; error?: components['schemas']['Problem'] | unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const plan = dataOf(
  await client.POST('/v1/plan', {
    body: {
      model_ref,
      shard_layout: 'tensor_parallel',
      shards: [{ bytes: 5000 }, { bytes: 5000 }],
      reserve: true,
      ttl_seconds: 60,
    },
  }),
);
const reservation_id = plan.reservation?.reservation_id ?? '';

const uploaded = dataOf(
  await client.PUT('/v1/commit', {
    params: { query: { shard_id: 'fetch-0', model_ref, shard_index: 0, total_shards: 2, reservation_id } },
    headers: { 'Content-Type': 'application/octet-stream' },
    // The document says `format: binary`, for which openapi-typescript writes `string`.
    body: bytes as unknown as string,
    bodySerializer: (body) => body,
  }),
);

const committed = dataOf(
  await client.POST('/v1/commit', {
    body: {
      shard_id: 'fetch-1',
      model_ref,
      shard_index: 1,
      total_shards: 2,
      reservation_id,
      source: { type: 'file', path: 'model.bin' },
    },
  }),
);

const ready = dataOf(
  await client.GET('/v1/ready', { params: { query: { model_ref, max_age_seconds: 60, nonce: 'n' } } }),
);
const page = dataOf(await client.GET('/v1/shards', { params: { query: { model_ref, limit: 1 } } }));
const verdict = dataOf(await client.POST('/v1/handles/verify', { body: { handle: committed.handle } }));
const verification = dataOf(
  await client.POST('/v1/shards/{shard_id}/verify', { params: { path: { shard_id: 'fetch-0' } } }),
);
const released = await client.DELETE('/v1/shards/{shard_id}', { params: { path: { shard_id: 'fetch-0' } } });
const missing = await client.GET('/v1/shards/{shard_id}', { params: { path: { shard_id: 'fetch-0' } } });

console.log(
  JSON.stringify({
    feasible: plan.feasible,
    uploaded: uploaded.shard.digest,
    committed: committed.shard.state,
    ready: ready.ready,
    attested: ready.attestation !== null,
    listed: page.shards.length,
    valid: verdict.valid,
    verified: verification.verified,
    released: released.response.status,
    missing: missing.response.status,
  }),
);
