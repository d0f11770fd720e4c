import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const granularityBytes = 2 * mebibyte;
const plan = async (worker: TestWorker, request: object) =>
  (await post(worker, '/v1/plan', { model_ref: 'model', shard_layout: 'single', ...request })).json();
const available = async (worker: TestWorker) => (await availableBytes(worker))[0] ?? 0;

t.test('the answer for a model that does not fit has the needed and the available bytes', onSimulator, async (t) => {
  const worker = await startWorker(t, { env: { WORKER_MAX_MODEL_BYTES: String(1024 * mebibyte) } });
  const [available_bytes] = await availableBytes(worker);
  const tooMuch = await plan(worker, { model_bytes: 65 * mebibyte });
  const reason = { code: 'VRAM_OOM', needed_bytes: 66 * mebibyte, available_bytes };
  t.match(tooMuch, { feasible: false, shard_plan: [], reservation: null, reason });
  const tooLarge = await plan(worker, { model_bytes: 1024 * mebibyte + 1 });
  t.match(tooLarge, { feasible: false, reason: { code: 'MODEL_TOO_LARGE' } });
  t.match(await plan(worker, { model_bytes: 5, gpu_devices: [2] }), { status: 400, code: 'INVALID_PARAMS' });
});

t.test('reserved memory is not available to others, and a renewal extends the reservation', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const free = await available(worker);
  const { reservation } = await plan(worker, { model_bytes: 40 * mebibyte, gpu_devices: [0], reserve: true });
  t.same(await available(worker), free - 40 * mebibyte);
  t.match((await plan(worker, { model_bytes: 40 * mebibyte, gpu_devices: [0] })).reason, { code: 'VRAM_OOM' });
  const refused = await upload(worker, 'b', patternBytes(30 * mebibyte), { gpu_device: '0' });
  t.match(refused.json(), { status: 507, code: 'VRAM_OOM', needed_bytes: 30 * mebibyte, retriable: true });

  const id = reservation.reservation_id;
  const renewed = await post(worker, `/v1/reservations/${id}/renew`, { ttl_seconds: 600 });
  t.ok(Date.parse(renewed.json().expires_at) > Date.parse(reservation.expires_at), 'it expires later');
  const again = await post(worker, `/v1/reservations/${id}/renew`);
  t.equal(again.json().expires_at, renewed.json().expires_at, 'a renewal never shortens it');
});

t.test('a commit must match its reservation, and a failed one returns its part', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const free = await available(worker);
  const { reservation } = await plan(worker, { model_bytes: 40 * mebibyte, gpu_devices: [0], reserve: true });
  const query = { reservation_id: reservation.reservation_id };
  const conflicts = [{ model_ref: 'no' }, { gpu_device: '1' }, { shard_index: '1', total_shards: '2' }];
  for (const conflict of conflicts) {
    t.match((await upload(worker, 'a', patternBytes(5), { ...query, ...conflict })).json(), { code: 'SHARD_CONFLICT' });
  }
  const mismatch = await upload(worker, 'a', patternBytes(5), { ...query, expected_digest: '0'.repeat(64) });
  t.equal(mismatch.json().code, 'DIGEST_MISMATCH');
  t.same(await available(worker), free - 40 * mebibyte, 'a failed commit returns its part');
  t.equal((await upload(worker, 'a', patternBytes(5), query)).statusCode, 201, 'which a later commit can use');
});

t.test('a reservation can be used once and dropped once', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const free = await available(worker);
  const { reservation } = await plan(worker, { model_bytes: 40 * mebibyte, gpu_devices: [0], reserve: true });
  const id = reservation.reservation_id;
  const query = { reservation_id: id };
  t.equal((await upload(worker, 'a', patternBytes(5), query)).statusCode, 201);
  t.same(await available(worker), free - granularityBytes, 'memory that the shard does not need is available again');
  const twice = await upload(worker, 'c', patternBytes(5), query);
  t.match(twice.json(), { status: 409, code: 'SHARD_CONFLICT' }, 'a part is used once');
  t.equal((await remove(worker, `/v1/reservations/${id}`)).statusCode, 204);
  t.equal((await remove(worker, `/v1/reservations/${id}`)).statusCode, 404);
  t.equal((await upload(worker, 'd', patternBytes(5), query)).statusCode, 404);
  t.same(await available(worker), free - granularityBytes);
});

t.test('an expired reservation frees its memory, and its use gets RESERVATION_EXPIRED', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const { reservation } = await plan(worker, { model_bytes: 5, reserve: true, ttl_seconds: 1 });
  await sleep(1050);
  const query = { reservation_id: reservation.reservation_id };
  t.match((await upload(worker, 'a', patternBytes(5), query)).json(), { status: 410, code: 'RESERVATION_EXPIRED' });
  t.equal((await post(worker, `/v1/reservations/${reservation.reservation_id}/renew`)).statusCode, 410);
  t.same(await availableBytes(worker), before);
});

t.test('a shard larger than its reserved part takes the rest from available memory', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const reserve = async () =>
    (await plan(worker, { model_bytes: 5, gpu_devices: [0], reserve: true })).reservation.reservation_id;
  const larger = await upload(worker, 'a', patternBytes(10 * mebibyte), { reservation_id: await reserve() });
  t.equal(larger.statusCode, 201, larger.body);
  const before = await availableBytes(worker);
  const reservation_id = await reserve();
  const tooLarge = await upload(worker, 'b', patternBytes(60 * mebibyte), { reservation_id });
  t.match(tooLarge.json(), { status: 507, code: 'VRAM_OOM' });
  const fitting = await upload(worker, 'b', patternBytes(5), { reservation_id });
  t.equal(fitting.statusCode, 201, 'the refused commit did not use the part');
  t.same(await availableBytes(worker), [(before[0] ?? 0) - granularityBytes, before[1]]);
});

t.test('concurrent plans and commits never take more memory than there is', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const capacity = before.reduce((sum, bytes) => sum + Math.floor(bytes / (10 * mebibyte)), 0);
  const shard = patternBytes(10 * mebibyte);
  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, index) =>
      index % 2 === 0
        ? upload(worker, `race-${index}`, shard).then((answer) => answer.statusCode === 201)
        : plan(worker, { model_bytes: shard.length, reserve: true }).then((report) => report.feasible),
    ),
  );
  t.equal(answers.filter(Boolean).length, capacity, `${capacity} shards fit, and exactly that many succeed`);
  for (const device of (await get(worker, '/v1/devices')).json().devices) {
    t.ok(device.available_bytes >= 0 && device.reserved_bytes >= 0);
  }
});
