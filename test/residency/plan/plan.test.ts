import fc from 'fast-check';
import t from 'tap';
import { splitModel } from '../../../src/residency/plan/placement.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const granule = 2 * mebibyte;
const plan = async (worker: TestWorker, request: object) =>
  (await post(worker, '/v1/plan', { model_ref: 'model', shard_layout: 'single', ...request })).json();

t.test('a model is split without losing or inventing a byte', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.integer({ min: 1, max: 64 }),
      (bytes, degree) => {
        const shards = splitModel(bytes, degree);
        const sum = shards.reduce((total, shard) => total + BigInt(shard), 0n);
        return (
          shards.length === degree &&
          sum === BigInt(bytes) &&
          Math.max(...shards) - Math.min(...shards) <= 1 &&
          shards.every((shard, index) => index === 0 || shard <= (shards[index - 1] ?? 0))
        );
      },
    ),
  );
  t.same(splitModel(10, 4), [3, 3, 2, 2]);
});

t.test('a single model goes where most memory is available, the lowest index first', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const empty = await plan(worker, { model_bytes: 5 });
  t.match(empty, { feasible: true, vram_required: granule, reservation: null, reason: null });
  t.same(empty.shard_plan, [{ shard_index: 0, total_shards: 1, gpu_device: 0, vram_bytes: 5 }]);
  t.equal(empty.devices.length, 2);
  await upload(worker, 'a', patternBytes(5));
  t.equal((await plan(worker, { model_bytes: 5 })).shard_plan[0].gpu_device, 1);
  t.equal((await plan(worker, { model_bytes: 5, gpu_devices: [0] })).shard_plan[0].gpu_device, 0);
});

t.test('a single model of several files goes to one device whole, or nowhere', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const files = (bytes: number) => ({ shards: [{ bytes }, { bytes }, { bytes }] });
  const fits = await plan(worker, files(10 * mebibyte));
  t.same(
    fits.shard_plan.map((shard: { gpu_device: number }) => shard.gpu_device),
    [0, 0, 0],
  );
  t.match(await plan(worker, files(25 * mebibyte)), {
    feasible: false,
    reason: { code: 'VRAM_OOM', needed_bytes: 78 * mebibyte },
  });
});

t.test('tensor-parallel shards go to distinct devices', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const layout = { shard_layout: 'tensor_parallel' };
  const both = await plan(worker, { ...layout, model_bytes: 9 * mebibyte + 1, tp_degree: 2 });
  t.match(both, { feasible: true, vram_required: 12 * mebibyte });
  t.same(
    both.shard_plan.map((shard: { gpu_device: number; vram_bytes: number }) => [shard.gpu_device, shard.vram_bytes]),
    [
      [0, 4.5 * mebibyte + 1],
      [1, 4.5 * mebibyte],
    ],
  );
  const three = await plan(worker, { ...layout, model_bytes: 9, tp_degree: 3 });
  t.match(three, { feasible: false, shard_plan: [], reservation: null, reason: { code: 'VRAM_OOM' } });
  await upload(worker, 'a', patternBytes(16 * mebibyte));
  const uneven = await plan(worker, { ...layout, shards: [{ bytes: mebibyte }, { bytes: 50 * mebibyte }] });
  t.same(
    uneven.shard_plan.map((shard: { gpu_device: number }) => shard.gpu_device),
    [0, 1],
    'the larger shard where more is available',
  );
});

t.test('what does not fit is an answer that says by how much', onSimulator, async (t) => {
  const worker = await startWorker(t, { env: { WORKER_MAX_MODEL_BYTES: String(1024 * mebibyte) } });
  const [available] = await availableBytes(worker);
  const tooMuch = await plan(worker, { model_bytes: 65 * mebibyte });
  const reason = { code: 'VRAM_OOM', needed_bytes: 66 * mebibyte, available_bytes: available };
  t.match(tooMuch, { feasible: false, shard_plan: [], reservation: null, reason });
  const tooLarge = await plan(worker, { model_bytes: 1024 * mebibyte + 1 });
  t.match(tooLarge, { feasible: false, reason: { code: 'MODEL_TOO_LARGE' } });
  t.match(await plan(worker, { model_bytes: 5, gpu_devices: [2] }), { status: 400, code: 'INVALID_PARAMS' });
});

t.test('a reservation holds its memory until it is used, dropped or expired', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const [free = 0] = await availableBytes(worker);
  const { reservation } = await plan(worker, { model_bytes: 40 * mebibyte, gpu_devices: [0], reserve: true });
  t.same((await availableBytes(worker))[0], free - 40 * mebibyte);
  t.match((await plan(worker, { model_bytes: 40 * mebibyte, gpu_devices: [0] })).reason, { code: 'VRAM_OOM' });
  const refused = await upload(worker, 'b', patternBytes(30 * mebibyte), { gpu_device: '0' });
  t.match(refused.json(), { status: 507, code: 'VRAM_OOM', needed_bytes: 30 * mebibyte, retriable: true });

  const id = reservation.reservation_id;
  const renewed = await post(worker, `/v1/reservations/${id}/renew`, { ttl_seconds: 600 });
  t.ok(Date.parse(renewed.json().expires_at) > Date.parse(reservation.expires_at), 'it lasts longer now');
  const again = await post(worker, `/v1/reservations/${id}/renew`);
  t.equal(again.json().expires_at, renewed.json().expires_at, 'and is never cut short');
  const query = { reservation_id: id };
  t.match((await upload(worker, 'a', patternBytes(5), { ...query, model_ref: 'no' })).json(), {
    code: 'SHARD_CONFLICT',
  });
  t.match((await upload(worker, 'a', patternBytes(5), { ...query, gpu_device: '1' })).json(), {
    code: 'SHARD_CONFLICT',
  });
  t.match((await upload(worker, 'a', patternBytes(5), { ...query, shard_index: '1', total_shards: '2' })).json(), {
    code: 'SHARD_CONFLICT',
  });
  const mismatch = await upload(worker, 'a', patternBytes(5), { ...query, expected_digest: '0'.repeat(64) });
  t.equal(mismatch.json().code, 'DIGEST_MISMATCH');
  t.same((await availableBytes(worker))[0], free - 40 * mebibyte, 'a failed commit gives the part back');

  t.equal((await upload(worker, 'a', patternBytes(5), query)).statusCode, 201);
  t.same((await availableBytes(worker))[0], free - granule, 'what the shard does not take is free');
  const twice = await upload(worker, 'c', patternBytes(5), query);
  t.match(twice.json(), { status: 409, code: 'SHARD_CONFLICT' }, 'a part is used once');
  t.equal((await remove(worker, `/v1/reservations/${id}`)).statusCode, 204);
  t.equal((await remove(worker, `/v1/reservations/${id}`)).statusCode, 404);
  t.equal((await upload(worker, 'd', patternBytes(5), query)).statusCode, 404);
  t.same((await availableBytes(worker))[0], free - granule);
});

t.test('an expired reservation is gone, remembered, and its memory free', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const { reservation } = await plan(worker, { model_bytes: 5, reserve: true, ttl_seconds: 1 });
  await new Promise((resolve) => setTimeout(resolve, 1050));
  const query = { reservation_id: reservation.reservation_id };
  t.match((await upload(worker, 'a', patternBytes(5), query)).json(), { status: 410, code: 'RESERVATION_EXPIRED' });
  t.equal((await post(worker, `/v1/reservations/${reservation.reservation_id}/renew`)).statusCode, 410);
  t.same(await availableBytes(worker), before);
});

t.test('a larger shard than was reserved takes the rest from what is free, or nothing', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const reserve = async () =>
    (await plan(worker, { model_bytes: 5, gpu_devices: [0], reserve: true })).reservation.reservation_id;
  const larger = await upload(worker, 'a', patternBytes(10 * mebibyte), { reservation_id: await reserve() });
  t.equal(larger.statusCode, 201, larger.body);
  const before = await availableBytes(worker);
  const reservation_id = await reserve();
  const tooLarge = await upload(worker, 'b', patternBytes(60 * mebibyte), { reservation_id });
  t.match(tooLarge.json(), { status: 507, code: 'VRAM_OOM' });
  t.equal((await upload(worker, 'b', patternBytes(5), { reservation_id })).statusCode, 201, 'the part is still held');
  t.same(await availableBytes(worker), [(before[0] ?? 0) - granule, before[1]]);
});

t.test('plans and commits racing for the last bytes never oversell', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const room = before.reduce((sum, bytes) => sum + Math.floor(bytes / (10 * mebibyte)), 0);
  const shard = patternBytes(10 * mebibyte);
  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, index) =>
      index % 2 === 0
        ? upload(worker, `race-${index}`, shard).then((answer) => answer.statusCode === 201)
        : plan(worker, { model_bytes: shard.length, reserve: true }).then((report) => report.feasible),
    ),
  );
  t.equal(answers.filter(Boolean).length, room, `room for ${room}, and not one more or less`);
  for (const device of (await get(worker, '/v1/devices')).json().devices) {
    t.ok(device.available_bytes >= 0 && device.reserved_bytes >= 0);
  }
});
