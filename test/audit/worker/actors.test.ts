import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { readChain, sha256 } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { damage } from '../../support/damage.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, token } from '../../support/worker.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(5000);
const operator = `operator:${sha256(token).slice(0, 16)}`;

t.test('background actions have the actor worker, and requests have their token', onSimulator, async (t) => {
  const [directory, models] = [temporaryDirectory(t), temporaryDirectory(t)];
  const path = join(directory, 'audit.log');
  writeFileSync(join(models, 'a'), bytes);
  writeFileSync(join(models, 'b'), patternBytes(5000, 2));
  const env = {
    WORKER_AUDIT_LOG: path,
    WORKER_MANIFEST: join(directory, 'manifest'),
    WORKER_MODEL_DIR: models,
    WORKER_SCRUB_SECONDS: '1',
  };
  const options = { env, residency: { repairBackoffMs: [5] } };
  const events = () => readChain(path).map(({ event }) => event);
  const from = (name: string) => ({ shard_id: name, model_ref: 'm', source: { type: 'file', path: name } });

  const first = await startWorker(t, options);
  for (const name of ['a', 'b']) await post(first, '/v1/commit', from(name));
  await upload(first, 'c', patternBytes(5000, 3));
  await until(() => events().includes('SealVerified'));
  damage(bytes, 0, 4500);
  // The scrubber detects the damage, and the worker repairs the shard.
  await until(() => events().includes('RepairStarted'));
  await until(async () => (await get(first, '/v1/ready')).statusCode === 200);
  first.residency.pauseScrub(true);
  first.residency.pauseScrub(false);
  await first.residency.sealKey.rotate(Buffer.from('another-secret-0123456789abcdef012345'));
  first.residency.tokenReplaced('operator');
  await first.stop();
  rmSync(join(models, 'b'));
  const restarted = readChain(path).length;
  const second = await startWorker(t, options);
  await until(() => second.residency.phase === 'ready');
  const verified = await post(second, '/v1/shards/a/verify');
  const forgotten = await remove(second, '/v1/shards/b');
  await second.app.inject({ url: '/v1/devices', headers: { authorization: 'Bearer wrong' } });
  await second.stop();

  const entries = readChain(path);
  for (const { event, actor, request_id } of entries) {
    t.match(actor, /^(worker|unauthenticated|(operator|reader):[0-9a-f]{16})$/, event);
    t.equal(request_id === null, actor === 'worker', `${event} of ${actor}: only requests have an id`);
  }
  const actorsOf = (event: string, since = 0) => [
    ...new Set(entries.filter((entry) => entry.event === event && entry.seq > since).map(({ actor }) => actor)),
  ];
  for (const event of [
    'WorkerStarted',
    'SealVerificationFailed',
    'RepairStarted',
    'ScrubPaused',
    'ScrubResumed',
    'SealKeyRotated',
    'TokenReplaced',
    'ShardLost',
    'AuditCheckpoint',
    'WorkerStopped',
  ]) {
    t.same(actorsOf(event), ['worker'], event);
  }
  t.same(actorsOf('AuthFailed'), ['unauthenticated']);
  t.same(actorsOf('ShardForgotten'), [operator]);
  t.same(actorsOf('VramAllocated', restarted), ['worker'], 'a restored shard');
  t.same(actorsOf('VramSealed', restarted), ['worker']);
  const resealed = entries.filter(({ event, prev }) => event === 'VramSealed' && prev !== undefined);
  t.ok(resealed.length >= 2, 'resealed after a repair, and for another key');
  t.same([...new Set(resealed.map(({ actor }) => actor))], ['worker']);
  const request = (answer: typeof verified) => answer.headers['x-request-id'];
  t.match(
    entries.find(({ request_id }) => request_id === request(verified)),
    { event: 'SealVerified', actor: operator, shard_id: 'a' },
  );
  t.match(
    entries.find(({ request_id }) => request_id === request(forgotten)),
    { event: 'ShardForgotten', actor: operator, shard_id: 'b' },
  );
});

t.test("a verification caused by a poll of ready has the poller's name", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  const reader = 'reader-token-0123456789abcdef0123456789';
  writeFileSync(join(directory, 'reader'), reader, { mode: 0o600 });
  const env = { WORKER_AUDIT_LOG: path, WORKER_READ_TOKEN_FILE: join(directory, 'reader') };
  const worker = await startWorker(t, { env });
  await upload(worker, 'a', bytes);
  await sleep(1100);
  const authorization = `Bearer ${reader}`;
  const answer = await worker.app.inject({ url: '/v1/ready?max_age_seconds=1', headers: { authorization } });
  t.equal(answer.statusCode, 200);
  const actor = `reader:${sha256(reader).slice(0, 16)}`;
  t.match(readChain(path).at(-1), { event: 'SealVerified', actor, request_id: answer.headers['x-request-id'] });
});
