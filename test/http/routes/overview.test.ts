import t, { type Test } from 'tap';
import type { OverviewJson } from '../../../src/http/schemas/overview.js';
import { patternBytes } from '../../support/bytes.js';
import { get, post, upload } from '../../support/requests.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const overviewOf = async (worker: TestWorker): Promise<OverviewJson> => (await get(worker, '/v1/overview')).json();

/** The parts of each device, of which the shards have some. */
function assertSums(t: Test, { devices, shards }: OverviewJson) {
  for (const device of devices) {
    const { shard_bytes, receiving_bytes, zombie_bytes, reserved_bytes, free_bytes, other_bytes } = device;
    const sum = shard_bytes + receiving_bytes + zombie_bytes + reserved_bytes + free_bytes + other_bytes;
    t.equal(sum, device.total_bytes, 'the parts add up to the memory of the device');
    const bytesOf = (use: string) =>
      shards
        .filter(({ counts_as, gpu_device }) => counts_as === use && gpu_device === device.gpu_device)
        .reduce((bytes, { device_bytes }) => bytes + device_bytes, 0);
    t.same([bytesOf('shard'), bytesOf('receiving'), bytesOf('zombie')], [shard_bytes, receiving_bytes, zombie_bytes]);
  }
}

t.test('the overview adds up, and shows hostile names unharmed', async (t) => {
  const worker = await startWorker(t);
  const name = '<img src=x onerror="alert(1)">&\\"';
  await upload(worker, 'a', patternBytes(5000), { model_ref: name });
  const plan = { model_ref: 'm', model_bytes: 10, shard_layout: 'single', reserve: true, gpu_devices: [0] };
  await post(worker, '/v1/plan', plan);
  const overview = await overviewOf(worker);
  assertSums(t, overview);
  t.match(overview, {
    worker: { worker_id: 'worker-1', state: 'ready', ready: true, accepting: true, leaving: false, audit_log: 'off' },
    models: [{ model_ref: name, ready: true }],
    shards: [{ shard_id: 'a', model_ref: name, device_bytes: 2 ** 21, counts_as: 'shard', state: 'sealed' }],
    devices: [{ shard_bytes: 2 ** 21, reserved_bytes: 2 ** 21, reserved_parts: 1 }],
  });
});
