import t, { type Test } from 'tap';
import type { OverviewJson } from '../../../src/http/schemas/overview.js';
import { patternBytes } from '../../support/bytes.js';
import { damage } from '../../support/damage.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});

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

/** Sends a long poll that has the overview with this tag. */
const wait = (worker: TestWorker, etag: unknown) =>
  worker.inject({ url: '/v1/overview?wait_seconds=30', headers: { 'if-none-match': String(etag) } });

const waiting = async (worker: TestWorker) =>
  Number(/vram_long_polls (\d+)/.exec((await get(worker, '/metrics')).body)?.[1]);

t.test('a tag changes with each change that is shown, and not with the moment', async (t) => {
  const worker = await startWorker(t);
  const tagOf = async () => String((await get(worker, '/v1/overview')).headers.etag);
  const tags = [await tagOf()];
  const known = await worker.inject({ url: '/v1/overview', headers: { 'if-none-match': tags[0] } });
  t.match(known, { statusCode: 304, body: '', headers: { etag: tags[0], 'cache-control': 'no-cache' } });
  const steps = [
    () => upload(worker, 'a', patternBytes(10)),
    () => post(worker, '/v1/plan', { model_ref: 'm', model_bytes: 9, shard_layout: 'single', reserve: true }),
    () => post(worker, '/v1/shards/a/verify'),
    async () => worker.residency.pauseScrub(true),
    () => remove(worker, '/v1/shards/a'),
    async () => worker.residency.announceShutdown(),
  ];
  for (const step of steps) {
    await step();
    tags.push(await tagOf());
    const again = await get(worker, '/v1/overview');
    t.equal(again.headers.etag, tags.at(-1));
    assertSums(t, again.json());
  }
  t.equal(new Set(tags).size, tags.length);
  t.match(tags[0], /^W\/"/);
});

t.test(
  'a wait ends at once if ready changes and at a shutdown, and after a period if something else does',
  async (t) => {
    const worker = await startWorker(t);
    const first = wait(worker, (await get(worker, '/v1/overview')).headers.etag);
    await until(async () => (await waiting(worker)) === 1);
    await upload(worker, 'a', patternBytes(10));
    const ready = await first;
    t.match(ready.json(), { worker: { ready: true } });

    // The clock does not move, so that the period does not end before the test says so.
    const nowMs = performance.now();
    let laterMs = 0;
    t.intercept(performance, 'now', { value: () => nowMs + laterMs, configurable: true });
    // The period begins with an overview that is prepared now. The earlier one may be older than a period.
    worker.residency.pauseScrub(true);
    const paused = await get(worker, '/v1/overview');
    const waits = Array.from({ length: 20 }, () => wait(worker, paused.headers.etag));
    await until(async () => (await waiting(worker)) === 20);
    worker.residency.pauseScrub(false);
    t.equal(await waiting(worker), 20);
    laterMs += 1000;
    t.equal(paused.json().scrub.state, 'paused');
    for (const resumed of await Promise.all(waits)) t.not(resumed.json().scrub.state, 'paused');
    worker.residency.pauseScrub(true);

    const tag = (await get(worker, '/v1/overview')).headers.etag;
    const expired = wait(worker, tag);
    await until(async () => (await waiting(worker)) === 1);
    laterMs += 30_000;
    t.equal((await expired).statusCode, 304);
    t.match((await expired).headers['server-timing'], /^wait;dur=\d+$/);

    const last = wait(worker, tag);
    await until(async () => (await waiting(worker)) === 1);
    worker.residency.drain();
    t.match((await last).json(), { worker: { state: 'draining', leaving: true, accepting: false } });
    const afterwards = wait(worker, (await last).headers.etag);
    t.equal(await waiting(worker), 0, 'a worker that ends does not wait');
    // A commit or a lease that ends now can change the overview once more.
    t.ok([200, 304].includes((await afterwards).statusCode));
  },
);

t.test('all requests that come in before an overview is taken share it', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10));
  let taken = 0;
  const { overview } = worker.residency;
  const counted = () => {
    taken++;
    return overview();
  };
  t.intercept(worker.residency, 'overview', { value: counted });
  await Promise.all(Array.from({ length: 50 }, () => get(worker, '/v1/overview')));
  await get(worker, '/v1/overview');
  t.equal(taken, 1);
});

t.test('damage and its ranges are shown, and a worker without devices has an overview too', async (t) => {
  const worker = await startWorker(t);
  const bytes = patternBytes(5000);
  await upload(worker, 'a', bytes);
  damage(bytes, (await overviewOf(worker)).shards[0]?.gpu_device ?? 0, 4500);
  await post(worker, '/v1/shards/a/verify');
  t.match((await overviewOf(worker)).shards, [
    {
      state: 'corrupt',
      counts_as: 'shard',
      corrupt_ranges: [{ offset: 0, length: 5000 }],
      corrupt_range_count: 1,
      corrupt_bytes: 5000,
      verification_due_at: null,
      repair: String,
    },
  ]);
  const starting = await startWorker(t, { start: false });
  t.match(await overviewOf(starting), { worker: { state: 'starting', accepting: false }, devices: [], shards: [] });
});
