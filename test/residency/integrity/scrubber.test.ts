import { readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { linesOf } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { damage } from '../../support/damage.js';
import { get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(2 * mebibyte + 5);
const unknown = 999;

/** Below the shortest period of the setting. `slow` also limits the scrubber to half a shard per second. */
const often = { scrubSeconds: 0.3 };
const slow = { ...often, scrubBytesPerSecond: mebibyte };

t.afterEach(() => simulator.reset());

const scrub = async (worker: TestWorker) => (await get(worker, '/v1/ready')).json().scrub;
const passes = (worker: TestWorker, count: number) => until(() => worker.residency.stats().scrub.passes >= count);
const running = (worker: TestWorker) => until(() => worker.residency.stats().scrub.state === 'running');
const verifiedAt = (worker: TestWorker, shardId: string) => worker.residency.shard(shardId).lastVerifiedAtMs ?? 0;

t.test('the scrubber finds damage without a request', onSimulator, async (t) => {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { residency: often, env: { WORKER_AUDIT_LOG: auditLog } });
  const other = patternBytes(mebibyte, 5);
  await upload(worker, 'a', bytes);
  await upload(worker, 'b', other);
  damage(bytes, 0, bytes.length - 1);
  await until(() => worker.residency.shard('a').state === 'corrupt');
  t.equal((await get(worker, '/v1/ready')).statusCode, 503);
  t.match(worker.residency.shard('a').corruptRanges, [{ offset: 2 * mebibyte, length: 5 }]);
  const entry = /"SealVerificationFailed","severity":"critical".*"shard_id":"a"/;
  await until(() => entry.test(readFileSync(auditLog, 'utf8')));
  const before = worker.residency.stats().scrub.passes;
  await passes(worker, before + 2);
  t.equal(worker.residency.shard('b').state, 'sealed', 'the other shard is still verified');
  t.match((await worker.app.inject('/metrics')).body, /vram_scrub_failures_total 1\n/);
});

t.test('ready reports the progress of the scrubber, and its answer changes only with an event', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_SCRUB_SECONDS: '7200' } });
  t.match(await scrub(worker), { state: 'waiting', oldest_verified_at: null, last_pass_finished_at: null });
  await upload(worker, 'a', bytes);
  await upload(worker, 'b', bytes);
  const first = await get(worker, '/v1/ready');
  t.match(first.json().scrub, {
    state: 'waiting',
    period_seconds: 7200,
    bytes_per_second: 1024 ** 3,
    shards_done: 0,
    shards_total: 0,
    last_pass_finished_at: null,
    oldest_verified_at: new Date(verifiedAt(worker, 'a')).toISOString(),
  });
  await sleep(50);
  const headers = { 'if-none-match': String(first.headers.etag) };
  t.equal((await worker.inject({ method: 'GET', url: '/v1/ready', headers })).statusCode, 304);
  await post(worker, '/v1/shards/a/verify');
  t.equal((await scrub(worker)).oldest_verified_at, new Date(verifiedAt(worker, 'b')).toISOString());

  const off = await startWorker(t, { env: { WORKER_SCRUB_SECONDS: '0' } });
  t.match(await scrub(off), { state: 'off', period_seconds: 0 });
});

t.test('a pass verifies each shard once, the oldest verification first', onSimulator, async (t) => {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { residency: often, env: { WORKER_AUDIT_LOG: auditLog } });
  worker.residency.pauseScrub(true);
  for (const shardId of ['a', 'b', 'c']) await upload(worker, shardId, bytes);
  await post(worker, '/v1/shards/a/verify');
  worker.residency.pauseScrub(false);
  await passes(worker, 1);
  const verified = () =>
    linesOf(auditLog)
      .map((line) => JSON.parse(line))
      .filter(({ event }) => event === 'SealVerified')
      .map((entry) => entry.shard_id);
  t.same(verified().slice(0, 4), ['a', 'b', 'c', 'a']);
  t.match((await worker.app.inject('/metrics')).body, /vram_scrub_bytes_total \d{7}/);
  t.match(await scrub(worker), { shards_total: 3, last_pass_finished_at: /Z$/ });
});

t.test('a paused scrubber reads nothing, but a requested verification runs', onSimulator, async (t) => {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { residency: often, env: { WORKER_AUDIT_LOG: auditLog } });
  worker.residency.pauseScrub(true);
  await upload(worker, 'a', bytes);
  simulator.reset();
  await sleep(600);
  t.equal(simulator.calls('cuLaunchKernel'), 0);
  t.equal((await scrub(worker)).state, 'paused');
  t.match((await worker.app.inject('/metrics')).body, /vram_scrub_state\{state="paused"\} 1/);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true });
  damage(bytes, 0, 1);
  worker.residency.pauseScrub(false);
  await until(() => worker.residency.shard('a').state === 'corrupt');
  t.match(readFileSync(auditLog, 'utf8'), /"ScrubPaused".*\n(.*\n)*.*"ScrubResumed"/);
});

t.test('a verification, a release or a stop does not wait for the scrubber', onSimulator, async (t) => {
  const worker = await startWorker(t, { residency: slow });
  await upload(worker, 'a', bytes);
  await running(worker);
  worker.residency.pauseScrub(true);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true }, 'a verification expedites the run');
  worker.residency.pauseScrub(false);
  await running(worker);
  worker.residency.pauseScrub(true);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204, 'a release cancels the run');
  await upload(worker, 'a', bytes);
  worker.residency.pauseScrub(false);
  await running(worker);
  await worker.stop();
  t.pass('a stop of the worker cancels the run');
});

t.test('a stalled upload does not delay the scrubber', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true, residency: often });
  await upload(worker, 'a', bytes);
  const sending = request(`${worker.url}/v1/commit?shard_id=b&model_ref=m`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${worker.token}`, 'content-length': 8 * mebibyte },
  });
  sending.on('error', () => undefined);
  sending.write(Buffer.alloc(20_000));
  await until(() => worker.residency.stats().shardsByState.receiving === 1);
  const before = verifiedAt(worker, 'a');
  await until(() => verifiedAt(worker, 'a') > before);
  t.equal(worker.residency.stats().shardsByState.receiving, 1);
  sending.destroy();
});

t.test('an error of the driver or of the audit log does not end the scrubber', onSimulator, async (t) => {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { residency: often, env: { WORKER_AUDIT_LOG: auditLog } });
  await upload(worker, 'a', bytes);
  simulator.faults(`cuLaunchKernel:1+=${unknown}`);
  await until(() => worker.residency.stats().scrub.failures >= 1);
  t.equal(worker.residency.shard('a').state, 'sealed', 'a shard that cannot be read is not marked corrupt');
  simulator.faults('');
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  const failures = worker.residency.stats().scrub.failures;
  await until(() => worker.residency.stats().scrub.failures > failures);
  rmSync(auditLog);
  renameSync(`${auditLog}.away`, auditLog);
  const before = verifiedAt(worker, 'a');
  await until(() => verifiedAt(worker, 'a') > before);
  t.equal((await get(worker, '/v1/ready')).statusCode, 200);
});
