import fc from 'fast-check';
import t from 'tap';
import { placeOne, splitModel } from '../../../src/residency/plan/placement.js';
import { patternBytes } from '../../support/bytes.js';
import { mebibyte, post, upload } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const granularityBytes = 2 * mebibyte;
const plan = async (worker: TestWorker, request: object) =>
  (await post(worker, '/v1/plan', { model_ref: 'model', shard_layout: 'single', ...request })).json();
const devicesOf = ({ shard_plan }: { shard_plan: { gpu_device: number }[] }): number[] =>
  shard_plan.map(({ gpu_device }) => gpu_device);

t.test('a worker without a device has no place for a shard', async (t) => {
  t.throws(() => placeOne([]), { code: 'VRAM_OOM', message: 'The worker has no GPU device' });
});

t.test('the shards of a split model have all its bytes, and lengths that differ by at most one', async (t) => {
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

t.test('a single model goes to the device with the most available memory', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const empty = await plan(worker, { model_bytes: 5 });
  t.match(empty, { feasible: true, vram_required: granularityBytes, reservation: null, reason: null });
  t.same(
    empty.shard_plan,
    [{ shard_index: 0, total_shards: 1, gpu_device: 0, vram_bytes: 5 }],
    'on a tie, the lowest index',
  );
  t.equal(empty.devices.length, 2);
  await upload(worker, 'a', patternBytes(5));
  t.equal((await plan(worker, { model_bytes: 5 })).shard_plan[0].gpu_device, 1);
  t.equal((await plan(worker, { model_bytes: 5, gpu_devices: [0] })).shard_plan[0].gpu_device, 0);
});

t.test('all files of a single model are placed on one device, or none are', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const files = (bytes: number) => ({ shards: [{ bytes }, { bytes }, { bytes }] });
  t.same(devicesOf(await plan(worker, files(10 * mebibyte))), [0, 0, 0]);
  t.match(await plan(worker, files(25 * mebibyte)), {
    feasible: false,
    reason: { code: 'VRAM_OOM', needed_bytes: 78 * mebibyte },
  });
});

t.test('a refusal says how much the layout can have, and why it does not fit', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const all = await plan(worker, { model_bytes: 5 });
  const available: number[] = all.devices.map((device: { available_bytes: number }) => device.available_bytes);
  const [first = 0, second = 0] = available;
  const refusal = async (request: object) => (await plan(worker, request)).reason;
  t.match(await refusal({ model_bytes: first + second }), {
    detail: 'No GPU device has enough memory available',
    available_bytes: Math.max(first, second),
  });
  const split = { shard_layout: 'tensor_parallel', model_bytes: 2 * (first + second), tp_degree: 2 };
  t.match(await refusal(split), {
    detail: 'The GPU devices do not have enough memory available for one shard each',
    available_bytes: first + second,
  });
  t.match(await refusal({ ...split, model_bytes: 3, tp_degree: 3 }), {
    detail: '3 tensor-parallel shards need 3 devices; the worker has 2',
    available_bytes: first + second,
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
  t.same(devicesOf(uneven), [0, 1], 'the larger shard goes to the device with more available memory');
});
