import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { HeldSyncs } from '../../support/held_syncs.js';
import { get, remove, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { commit, contents, ready, restartable, shardIds, untilLoaded } from '../restartable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

/** A worker after a restart that restored `a`, but lost `b` (no file), `c` (changed file) and `upload`. */
async function restartWithLosses(t: Test) {
  const setup = restartable(t);
  const { start, models } = setup;
  const first = await start();
  for (const shardId of shardIds) await commit(first, shardId, shardId);
  await upload(first, 'upload', contents.b, { model_ref: 'model-upload' });
  await first.stop();
  rmSync(join(models, 'b'));
  writeFileSync(join(models, 'c'), patternBytes(5000, 4));
  const worker = await start();
  await untilLoaded(worker);
  return { ...setup, worker };
}

t.test('a shard that cannot be restored is lost, but does not block the other models', async (t) => {
  const { worker } = await restartWithLosses(t);
  const answer = await get(worker, '/v1/ready');
  t.equal(answer.statusCode, 200, 'one model is ready');
  const { ready: isReady, reasons, lost, models } = answer.json();
  t.equal(isReady, true);
  t.same(reasons, []);
  t.match(
    lost.sort((a: { shard_id: string }, b: { shard_id: string }) => (a.shard_id < b.shard_id ? -1 : 1)),
    [
      { shard_id: 'b', model_ref: 'model-b', detail: /does not exist in the model directory/ },
      { shard_id: 'c', model_ref: 'model-c', detail: /digest/ },
      { shard_id: 'upload', model_ref: 'model-upload', detail: /no source to restore it from/ },
    ],
  );
  t.match(
    models.filter((model: { ready: boolean }) => !model.ready),
    [{ resident_shards: 0, total_shards: 1 }, {}, {}],
  );
  const lostModel = await get(worker, '/v1/ready?model_ref=model-b');
  t.equal(lostModel.statusCode, 503);
  t.match(lostModel.json(), {
    ready: false,
    reasons: [{ code: 'NO_MODEL_READY' }, { code: 'SHARD_LOST', detail: /Shard b of model-b is lost/ }],
    lost: [{ shard_id: 'b' }],
  });
  t.equal(lostModel.json().lost.length, 1, 'the answer has no lost shards of other models');
  const restoredModel = await get(worker, '/v1/ready?model_ref=model-a');
  t.match(restoredModel.json(), { ready: true, reasons: [], lost: [] });
});

t.test('if no model is ready, each lost shard is a reason', async (t) => {
  const { worker, entries, listed } = await restartWithLosses(t);
  t.match((await remove(worker, '/v1/shards/a')).statusCode, 204);
  const { ready: isReady, reasons } = await ready(worker);
  t.equal(isReady, false);
  t.same(
    reasons.map(({ code }: { code: string }) => code),
    ['NO_MODEL_READY', 'SHARD_LOST', 'SHARD_LOST', 'SHARD_LOST'],
  );
  t.equal((await commit(worker, 'a', 'a')).statusCode, 201);
  t.match(
    entries()
      .filter(({ event }) => event === 'ShardLost')
      .map(({ shard_id, severity }) => `${shard_id} ${severity}`)
      .sort(),
    ['b critical', 'c critical', 'upload warning'],
  );
  t.equal(listed().length, 4, 'lost shards stay on the manifest');
});

t.test('a lost shard cannot be committed while it is released', async (t) => {
  const { worker, auditLog, listed } = await restartWithLosses(t);
  const syncs = HeldSyncs.take(t);
  syncs.hold(auditLog);
  const releasing = remove(worker, '/v1/shards/upload');
  await until(() => syncs.held > 0);
  t.match((await upload(worker, 'upload', contents.b)).json(), { status: 409, code: 'SHARD_BUSY' });
  syncs.letGo();
  t.equal((await releasing).statusCode, 204);
  t.equal((await upload(worker, 'upload', contents.b)).statusCode, 201);
  t.match(listed().at(-1), { shard_id: 'upload' });
});

t.test('a lost shard is forgotten when it is released, committed or restored', async (t) => {
  const { worker, models, start } = await restartWithLosses(t);
  t.equal((await remove(worker, '/v1/shards/upload')).statusCode, 204, 'released');
  t.equal((await remove(worker, '/v1/shards/upload')).statusCode, 404);
  t.equal((await upload(worker, 'c', contents.c, { model_ref: 'model-c' })).statusCode, 201, 'committed');
  writeFileSync(join(models, 'b'), contents.b);
  await worker.stop();
  const next = await start();
  await untilLoaded(next);
  t.match(await ready(next), { reasons: [], lost: [{ shard_id: 'c', detail: /no source to restore it from/ }] });
  t.equal(next.residency.shard('b').state, 'sealed', 'restored, because its file exists again');
});
