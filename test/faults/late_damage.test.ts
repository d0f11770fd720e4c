import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Shard } from '../../src/residency/state/shard.js';
import { linesOf } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { damage } from '../support/damage.js';
import { claimsOf } from '../support/handles.js';
import { mebibyte, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

/** The scrubber reads this shard for 8 seconds, in slices of 1 MiB. */
const bytes = patternBytes(8 * mebibyte);
const slowScrub = { WORKER_SCRUB_SECONDS: '1', WORKER_SCRUB_BYTES_PER_SECOND: String(mebibyte) };
const groupBytes = 512 * 1024;
const firstGroup = [{ offset: 0, length: groupBytes }];

let found = 0;

t.afterEach(() => simulator.reset());
t.teardown(() => t.comment(`figure: late damage found ${found} of 4`));

async function ask(worker: TestWorker, method: string, path: string) {
  const answer = await fetch(`${worker.url}${path}`, { method, headers: { authorization: `Bearer ${worker.token}` } });
  return { status: answer.status, etag: answer.headers.get('etag'), body: JSON.parse(await answer.text()) };
}

const verify = (worker: TestWorker) => ask(worker, 'POST', '/v1/shards/a/verify');
const failuresIn = (auditLog: string) =>
  linesOf(auditLog)
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === 'SealVerificationFailed');

/** A worker whose scrubber has passed the first MiB of the shard `a`, and not much more. */
async function startScrubbing(t: Test) {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { listen: true, env: { ...slowScrub, WORKER_AUDIT_LOG: auditLog } });
  worker.residency.pauseScrub(true);
  await upload(worker, 'a', bytes);
  simulator.reset();
  worker.residency.pauseScrub(false);
  // A slice takes two launches: one for the blocks, and one for the groups.
  await until(() => simulator.calls('cuLaunchKernel') >= 2);
  return { worker, auditLog };
}

for (const paused of [false, true]) {
  const scrub = paused ? 'a paused scrub' : 'a running scrub';

  t.test(`verify finds damage that ${scrub} has passed`, onSimulator, async (t) => {
    const { worker } = await startScrubbing(t);
    worker.residency.pauseScrub(paused);
    damage(bytes, 0, 5000);
    const { body } = await verify(worker);
    t.match(body, { verified: false, reason: 'damaged', corrupt_ranges: firstGroup });
    t.equal((await ask(worker, 'GET', '/v1/ready')).status, 503);
    if (body.verified === false) found++;
  });

  t.test(`ready with max_age_seconds finds damage that ${scrub} has passed`, onSimulator, async (t) => {
    const { worker } = await startScrubbing(t);
    worker.residency.pauseScrub(paused);
    await until(() => Date.now() > (worker.residency.shard('a').lastVerifiedAtMs ?? 0) + 1000);
    damage(bytes, 0, 5000);
    const { status, body } = await ask(worker, 'GET', '/v1/ready?max_age_seconds=1&nonce=n');
    t.equal(status, 503);
    t.match(claimsOf(body.attestation), { ready: false, nonce: 'n', max_age_seconds: 1, shards: [] });
    if (status === 503) found++;
  });

  t.test(`a verification replaces ${scrub}, which is not a failure`, onSimulator, async (t) => {
    const { worker } = await startScrubbing(t);
    worker.residency.pauseScrub(paused);
    const askedMs = Date.now();
    t.match((await verify(worker)).body, { verified: true });
    const { body } = await ask(worker, 'GET', '/v1/shards/a');
    t.ok(Date.parse(body.last_verified_at) >= askedMs, 'the date is not before the question');
    t.equal(worker.residency.stats().scrub.failures, 0);
  });
}

t.test('a scrub reports damage when it meets it, and then reads the rest at full speed', onSimulator, async (t) => {
  const { worker, auditLog } = await startScrubbing(t);
  const ready = await ask(worker, 'GET', '/v1/ready');
  // As soon as the damage is known, the device waits until the latency changes.
  const { markCorrupt } = Shard.prototype;
  t.intercept(Shard.prototype, 'markCorrupt', {
    configurable: true,
    value: function (this: Shard, ...args: Parameters<typeof markCorrupt>) {
      simulator.latencyUs(60_000_000);
      return markCorrupt.apply(this, args);
    },
  });
  damage(bytes, 0, 4 * mebibyte, 7 * mebibyte);
  await until(() => worker.residency.shard('a').state === 'corrupt');
  t.match(worker.residency.shard('a').corruptRanges, [{ offset: 4 * mebibyte, length: groupBytes }]);
  await until(() => failuresIn(auditLog).length > 0);
  t.equal(worker.residency.stats().scrub.state, 'running', 'the entry is written while the run continues');
  t.match(failuresIn(auditLog), [{ severity: 'critical', corrupt_range_count: 1 }]);
  worker.residency.pauseScrub(true);
  const headers = { authorization: `Bearer ${worker.token}`, 'if-none-match': String(ready.etag) };
  const polled = await fetch(`${worker.url}/v1/ready`, { headers });
  t.equal(polled.status, 503, 'a cached answer is not used');
  t.intercept(Shard.prototype, 'markCorrupt', { configurable: true, value: markCorrupt });
  simulator.latencyUs(0);
  await until(() => worker.residency.shard('a').corruptRanges.length === 2);
  await until(() => failuresIn(auditLog).length === 2);
  t.match(failuresIn(auditLog)[1], { corrupt_ranges: [{ offset: 4 * mebibyte }, { offset: 7 * mebibyte }] });
  await until(() => worker.residency.stats().scrub.failures === 1);
});

/** A worker in the middle of a slow verification that a caller asked for. */
async function startVerification(t: Test) {
  const worker = await startWorker(t, { listen: true, env: { WORKER_SCRUB_SECONDS: '0' } });
  await upload(worker, 'a', bytes);
  simulator.reset();
  simulator.latencyUs(100_000);
  const older = verify(worker);
  await until(() => simulator.calls('cuLaunchKernel') >= 1);
  return { worker, older };
}

t.test('callers that arrive during an older verification wait together for the next one', onSimulator, async (t) => {
  const { worker, older } = await startVerification(t);
  const askedMs = Date.now();
  const later = [0, 1, 2, 3].map(() => verify(worker));
  const ready = ask(worker, 'GET', '/v1/ready?max_age_seconds=1&nonce=n');
  t.match((await older).body, { verified: true });
  for (const answer of await Promise.all(later)) t.match(answer.body, { verified: true });
  simulator.latencyUs(0);
  t.equal(simulator.calls('cuLaunchKernel'), 4, 'two runs');
  const { body } = await ask(worker, 'GET', '/v1/shards/a');
  t.ok(Date.parse(body.last_verified_at) >= askedMs);
  t.equal((await ready).status, 200);
});

t.test('a caller that waits for the next verification is refused if the shard is released', onSimulator, async (t) => {
  const { worker, older } = await startVerification(t);
  const next = verify(worker);
  const headers = { authorization: `Bearer ${worker.token}` };
  const released = fetch(`${worker.url}/v1/shards/a`, { method: 'DELETE', headers });
  t.match((await older).body, { verified: true });
  simulator.latencyUs(0);
  t.equal((await released).status, 204);
  const { status, body } = await next;
  t.ok(status === 404 || (status === 409 && body.code === 'SHARD_BUSY'), `${status} ${body.code}`);
});
