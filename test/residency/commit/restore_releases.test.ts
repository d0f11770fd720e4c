import { renameSync, rmSync, symlinkSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { systemActor } from '../../../src/audit/actor.js';
import { get, remove } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';
import { commit, restartable, untilLoaded } from '../restartable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

t.test('until a restart has taken its shards, none of them can be released', onSimulator, async (t) => {
  const { start, listed } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  simulator.latencyUs(20_000);
  const second = await start({ start: false });
  let isStarted = false;
  const started = second.residency.start().finally(() => {
    isStarted = true;
  });
  while (!isStarted) {
    t.match(second.residency.phase, /starting|loading/);
    await t.rejects(second.residency.release('a', systemActor), { code: /STARTING|SHARD_BUSY/ });
    await nextTurn();
  }
  await started;
  simulator.latencyUs(0);
  await untilLoaded(second);
  t.equal(second.residency.shard('a').state, 'sealed');
  t.equal(listed().length, 1);
});

t.test('a shard that waits for the restores of others is busy, not absent', onSimulator, async (t) => {
  const { start, listed } = restartable(t);
  const first = await start();
  const ids = Array.from({ length: 8 }, (_, index) => `s${index}`);
  for (const id of ids) await commit(first, id, 'b');
  await first.stop();
  simulator.latencyUs(5000);
  const second = await start();
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  const answers = await Promise.all(ids.map((id) => remove(second, `/v1/shards/${id}`)));
  t.equal(second.residency.phase, 'loading', 'the restores are in progress');
  for (const answer of answers) t.match(answer.json(), { status: 409, code: 'SHARD_BUSY', retriable: true });
  simulator.latencyUs(0);
  await untilLoaded(second);
  t.equal((await get(second, '/v1/shards')).json().shards.length, 8);
  t.equal((await remove(second, '/v1/shards/s7')).statusCode, 204);
  t.equal(listed().length, 7);
});

t.test('a shard that waits for the next attempt to restore it can be released', async (t) => {
  const { start, models, listed, entries } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await commit(first, 'b', 'b');
  await first.stop();
  const second = await start({ start: false, residency: { restoreRetryMs: 50 } });
  renameSync(models, `${models}.away`);
  await second.residency.start();
  await until(async () => (await remove(second, '/v1/shards/a')).statusCode === 204);
  t.match(listed(), [{ shard_id: 'b' }]);
  t.ok(entries().some(({ event }: { event: string }) => event === 'ShardForgotten'));
  renameSync(`${models}.away`, models);
  await untilLoaded(second);
  t.equal(second.residency.shard('b').state, 'sealed');
  t.throws(() => second.residency.shard('a'), { code: 'NOT_FOUND' });
});

t.test('a shard whose release the audit log refuses is still restored', async (t) => {
  const { start, models, auditLog, listed } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  const second = await start({ start: false, residency: { restoreRetryMs: 20 } });
  renameSync(models, `${models}.away`);
  await second.residency.start();
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  await until(async () => (await remove(second, '/v1/shards/a')).statusCode === 503);
  rmSync(auditLog);
  renameSync(`${auditLog}.away`, auditLog);
  renameSync(`${models}.away`, models);
  await untilLoaded(second);
  t.equal(second.residency.shard('a').state, 'sealed');
  t.equal(listed().length, 1);
});

t.test('a shard that a shutdown has wiped is not called absent: the next process restores it', async (t) => {
  const { start, listed } = restartable(t);
  const worker = await start();
  await commit(worker, 'a', 'a');
  worker.residency.drain();
  await until(async () => (await get(worker, '/v1/shards/a')).statusCode === 404);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 503, code: 'DRAINING' });
  t.equal(listed().length, 1);
});

t.test('without a restore, a shard that does not exist is absent', async (t) => {
  const worker = await startWorker(t);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 404);
});
