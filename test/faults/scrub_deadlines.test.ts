import { request } from 'node:http';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { Clocks } from '../support/clock.js';
import { get, mebibyte, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

const ids = ['a', 'b', 'c', 'd'];
const bytes = patternBytes(2 * mebibyte);
const scrubOf = async (worker: TestWorker) => (await get(worker, '/v1/ready')).json().scrub;
const verifiedAt = (worker: TestWorker, id: string) => worker.residency.shard(id).lastVerifiedAtMs ?? 0;

/** Starts an upload that sends about 1.5 KB a second, without an end. Returns a function that ends it. */
function trickle(worker: TestWorker): () => void {
  const headers = { authorization: `Bearer ${worker.token}`, 'content-length': 8 * mebibyte };
  const sending = request(`${worker.url}/v1/commit?shard_id=slow&model_ref=m`, { method: 'PUT', headers });
  sending.on('error', () => undefined);
  const timer = setInterval(() => sending.write(Buffer.alloc(150)), 100);
  return () => {
    clearInterval(timer);
    sending.destroy();
  };
}

/** The monotonic clock runs only while this process does, so that a pause of it makes no shard overdue. */
function takeClock(t: Test): void {
  const clocks = Clocks.take(t);
  const timer = setInterval(() => clocks.pass(10), 10);
  t.teardown(() => clearInterval(timer));
}

t.test('each shard is verified once a period, although an upload never pauses', onSimulator, async (t) => {
  takeClock(t);
  const worker = await startWorker(t, { listen: true, env: { WORKER_SCRUB_SECONDS: '6' } });
  for (const id of ids) await upload(worker, id, bytes);
  const stop = trickle(worker);
  t.teardown(stop);
  await until(() => worker.residency.stats().shardsByState.receiving === 1);
  let overdue = 0;
  const times = ids.map(() => new Set<number>());
  await until(() => {
    overdue = Math.max(overdue, worker.residency.stats().scrub.overdueShards);
    for (const [index, id] of ids.entries()) times[index]?.add(verifiedAt(worker, id));
    return times.every(({ size }) => size > 2);
  });
  t.equal(overdue, 0, 'until each shard was verified twice');
  t.same((await scrubOf(worker)).reasons, []);
});

t.test('shards that were not verified within the period are reported until they are', onSimulator, async (t) => {
  takeClock(t);
  const worker = await startWorker(t, { env: { WORKER_SCRUB_SECONDS: '1' } });
  worker.residency.pauseScrub(true);
  await upload(worker, 'a', bytes);
  const before = await get(worker, '/v1/ready');
  t.match(before.json().scrub, { overdue_shards: 0, reasons: [] });
  await until(async () => (await scrubOf(worker)).overdue_shards === 1);
  const headers = { 'if-none-match': String(before.headers.etag) };
  const changed = await worker.inject({ method: 'GET', url: '/v1/ready', headers });
  t.equal(changed.statusCode, 200, 'the entity tag changes, and the worker is still ready');
  t.match(changed.json().scrub.reasons, [
    { code: 'SCRUB_OVERDUE', detail: 'Shards last verified more than 1 s ago: 1' },
  ]);
  t.match((await worker.app.inject('/metrics')).body, /\nvram_scrub_overdue_shards 1\n/);
  worker.residency.pauseScrub(false);
  await until(async () => (await scrubOf(worker)).overdue_shards === 0);
});

t.test('a byte rate that is too low for the shards makes them overdue', onSimulator, async (t) => {
  const worker = await startWorker(t, { env: { WORKER_SCRUB_SECONDS: '1', WORKER_SCRUB_BYTES_PER_SECOND: '1' } });
  for (const id of ids) await upload(worker, id, patternBytes(10));
  await until(() => worker.residency.stats().scrub.overdueShards > 0);
  t.equal((await get(worker, '/v1/ready')).statusCode, 200, 'the worker is ready');
});

t.test('a shard that cannot be verified is tried once a period', onSimulator, async (t) => {
  takeClock(t);
  const worker = await startWorker(t, { env: { WORKER_SCRUB_SECONDS: '2' } });
  await upload(worker, 'a', bytes);
  simulator.faults('cuLaunchKernel:1+=999');
  await until(() => worker.residency.stats().scrub.overdueShards === 1);
  const failures = () => worker.residency.stats().scrub.failures;
  const before = failures();
  const startMs = performance.now();
  await until(() => performance.now() - startMs >= 4000);
  t.ok(failures() - before <= 3, `${failures() - before} attempts in 2 periods`);
  simulator.faults('');
  await until(() => worker.residency.stats().scrub.overdueShards === 0);
});
