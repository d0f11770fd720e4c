import t from 'tap';
import { get, post, remove } from '../../support/requests.js';
import { moreThanAnyDevice, onTwoDevices, withoutSizeLimit } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const model = { model_ref: 'm', model_bytes: 3_000_001, shard_layout: 'single' };

t.test('a plan has the GPU of each shard', async (t) => {
  const worker = await startWorker(t);
  const single = await post(worker, '/v1/plan', model);
  t.equal(single.statusCode, 200);
  t.match(single.json(), {
    feasible: true,
    vram_required: 4_194_304,
    shard_plan: [{ shard_index: 0, total_shards: 1, gpu_device: 0, vram_bytes: 3_000_001 }],
    reservation: null,
    reason: null,
  });
  t.same(single.json().devices, (await get(worker, '/v1/devices')).json().devices);
});

t.test('a tensor-parallel plan has the bytes of each shard', onTwoDevices, async (t) => {
  const worker = await startWorker(t);
  const halves = { ...model, shard_layout: 'tensor_parallel', tp_degree: 2 };
  t.match((await post(worker, '/v1/plan', halves)).json().shard_plan, [
    { vram_bytes: 1_500_001 },
    { vram_bytes: 1_500_000 },
  ]);
  const named = {
    model_ref: 'm',
    shard_layout: 'tensor_parallel',
    shards: [{ bytes: 5 }, { bytes: 7 }],
    gpu_devices: [1, 0],
  };
  t.match((await post(worker, '/v1/plan', named)).json().shard_plan, [{ vram_bytes: 5 }, { vram_bytes: 7 }]);
});

t.test('a restart forgets reservations', async (t) => {
  const before = await startWorker(t);
  const { reservation } = (await post(before, '/v1/plan', { ...model, reserve: true })).json();
  const url = `/v1/reservations/${reservation.reservation_id}/renew`;
  t.equal((await post(before, url)).statusCode, 200);
  await before.stop();
  t.match((await post(await startWorker(t), url)).json(), { status: 404, code: 'NOT_FOUND' });
});

t.test('a model that does not fit is a 200 with the sizes', async (t) => {
  const worker = await startWorker(t, { env: withoutSizeLimit });
  const answer = await post(worker, '/v1/plan', { ...model, model_bytes: moreThanAnyDevice, reserve: true });
  t.equal(answer.statusCode, 200);
  const [{ available_bytes }] = answer.json().devices;
  t.match(answer.json(), {
    feasible: false,
    reservation: null,
    reason: { code: 'VRAM_OOM', detail: String, needed_bytes: moreThanAnyDevice, available_bytes },
  });
});

t.test('conflicting or invalid fields are refused', async (t) => {
  const worker = await startWorker(t);
  const parallel = { model_ref: 'm', shard_layout: 'tensor_parallel' };
  for (const wrong of [
    { model_ref: 'm', shard_layout: 'single' },
    { ...model, shards: [{ bytes: 1 }] },
    { ...model, tp_degree: 1 },
    { ...model, model_bytes: 0 },
    { ...model, model_bytes: '1' },
    { ...model, shard_layout: 'pipeline' },
    { ...model, ttl_seconds: 60 },
    { ...model, reserve: false, ttl_seconds: 60 },
    { ...model, reserve: true, ttl_seconds: 0 },
    { ...model, reserve: true, ttl_seconds: 3601 },
    { ...model, reserve: 'true' },
    { ...model, gpu_devices: [] },
    { ...model, gpu_devices: [0, 0] },
    { ...model, gpu_devices: [9] },
    { ...model, gpu_devices: [-1] },
    { ...model, surprise: 1 },
    { ...model, model_ref: '' },
    { ...parallel, model_bytes: 10 },
    { ...parallel, model_bytes: 1, tp_degree: 2 },
    { ...parallel, shards: [{ bytes: 1 }], tp_degree: 1 },
    { ...parallel, shards: [] },
    { ...parallel, shards: [{ bytes: 0 }] },
    { ...parallel, shards: [{ bytes: 1, more: 1 }] },
    { ...parallel, shards: [{ bytes: Number.MAX_SAFE_INTEGER }, { bytes: 1 }] },
  ]) {
    t.equal((await post(worker, '/v1/plan', wrong)).json().code, 'INVALID_PARAMS', JSON.stringify(wrong));
  }
});

t.test('a model above the size limit is not feasible', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_MAX_MODEL_BYTES: '1000' } });
  const answer = await post(worker, '/v1/plan', { ...model, model_bytes: 1001 });
  t.equal(answer.statusCode, 200);
  t.match(answer.json(), { feasible: false, reason: { code: 'MODEL_TOO_LARGE' } });
});

t.test('sizes are capped at 2^53 - 1 after rounding', async (t) => {
  const largest = Number.MAX_SAFE_INTEGER;
  const worker = await startWorker(t, { env: { WORKER_MAX_MODEL_BYTES: String(largest) } });
  const plan = (await post(worker, '/v1/plan', { ...model, model_bytes: largest })).json();
  t.match(plan, { feasible: false, vram_required: largest, reason: { needed_bytes: largest } });
  const query = { shard_id: 'a', model_ref: 'm', vram_bytes: String(largest) };
  const headers = { 'transfer-encoding': 'chunked', 'content-type': 'application/octet-stream' };
  const commit = await worker.inject({ method: 'PUT', url: '/v1/commit', query, headers });
  t.match(commit.json(), { code: 'VRAM_OOM', needed_bytes: largest });
});

t.test('a reservation is renewed and canceled by its id', async (t) => {
  const worker = await startWorker(t);
  const { reservation } = (await post(worker, '/v1/plan', { ...model, reserve: true, ttl_seconds: 10 })).json();
  const path = `/v1/reservations/${reservation.reservation_id}`;
  const renewed = await post(worker, `${path}/renew`, { ttl_seconds: 3600 });
  t.equal(renewed.statusCode, 200);
  t.equal(renewed.json().reservation_id, reservation.reservation_id);
  t.ok(renewed.json().expires_at > reservation.expires_at);
  t.equal((await post(worker, `${path}/renew`)).statusCode, 200, 'without a body');
  t.equal((await post(worker, `${path}/renew`, { ttl_seconds: 3601 })).json().code, 'INVALID_PARAMS');
  const dropped = await remove(worker, path);
  t.equal(dropped.statusCode, 204);
  t.equal(dropped.body, '');
  t.equal((await remove(worker, path)).json().code, 'NOT_FOUND');
  t.equal((await post(worker, '/v1/reservations/a%20b/renew')).json().code, 'INVALID_PARAMS');
});
