import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { Clocks, hour } from '../../support/clock.js';
import { claimsOf } from '../../support/handles.js';
import { get, mebibyte, post, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DEVICES = '1GiB';

const bytes = patternBytes(3 * mebibyte + 5);
const unknown = 999;

t.afterEach(() => simulator.reset());

t.test('concurrent verifications of one shard share one run', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  simulator.reset();
  const reports = await Promise.all(Array.from({ length: 8 }, () => post(worker, '/v1/shards/a/verify')));
  t.ok(reports.every((report) => report.json().verified === true));
  t.equal(simulator.calls('cuLaunchKernel'), 2, 'one launch for the leaves and one for the level above');
});

t.test('ready verifies more shards than native calls can run concurrently', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const count = 300;
  for (let index = 0; index < count; index++) await upload(worker, `s-${index}`, patternBytes(4096, index + 1));
  await sleep(1100);
  const requestedAtMs = Date.now();
  const ready = await get(worker, '/v1/ready?max_age_seconds=1');
  t.equal(ready.statusCode, 200, ready.body.slice(0, 500));
  const verified: string[] = ready
    .json()
    .handles.map(({ shard }: { shard: { last_verified_at: string } }) => shard.last_verified_at);
  t.equal(verified.length, count);
  t.ok(verified.every((time) => Date.parse(time) >= requestedAtMs - 1000));
});

t.test('a worker with a shard that cannot be verified is not ready', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  await sleep(1100);
  simulator.faults(`cuLaunchKernel:1+=${unknown}`);
  const refused = await get(worker, '/v1/ready?max_age_seconds=1&nonce=n');
  t.equal(refused.statusCode, 503);
  t.match(refused.json(), { ready: false, reasons: [{ code: 'VERIFICATION_FAILED' }] });
  const [, payload = ''] = refused.json().attestation.split('.');
  t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), { ready: false });
  simulator.faults('');
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1')).statusCode, 200);
});

t.test('ready is consistent with the dates that it signs after the wall clock was set', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  const clocks = Clocks.take(t);
  const ask = async () => claimsOf((await get(worker, '/v1/ready?max_age_seconds=60&nonce=n')).json().attestation);
  clocks.step(hour);
  const { ready, asked_at, oldest_verified_at } = await ask();
  t.equal(ready, true);
  t.ok(Date.parse(String(asked_at)) - Date.parse(String(oldest_verified_at)) <= 60_000, 'the shard is verified again');
  clocks.step(-2 * hour);
  t.match(await ask(), { ready: true, oldest_verified_at }, 'a recent verification is not repeated');
});
