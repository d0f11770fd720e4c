import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, post, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker, type WorkerOptions } from '../../support/worker.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const contents = { a: patternBytes(700_000), b: patternBytes(5000, 2), c: patternBytes(5000, 3) };

t.afterEach(() => simulator.reset());

/** A place for models and the manifest, and workers that follow each other there. */
function place(t: Test) {
  const directory = t.testdir({ models: contents });
  const manifest = join(directory, 'manifest.json');
  const auditLog = join(directory, 'audit.log');
  const models = join(directory, 'models');
  const env = { WORKER_MODEL_DIR: models, WORKER_MANIFEST: manifest, WORKER_AUDIT_LOG: auditLog };
  const start = (options: WorkerOptions = {}) => startWorker(t, { ...options, env: { ...env, ...options.env } });
  const events = () =>
    readFileSync(auditLog, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  const shards = () => JSON.parse(readFileSync(manifest, 'utf8')).shards;
  return { directory, models, manifest, auditLog, start, events, shards };
}

const commit = (worker: TestWorker, shardId: string, path: string, more: object = {}) =>
  post(worker, '/v1/commit', {
    shard_id: shardId,
    model_ref: `model-${shardId}`,
    source: { type: 'file', path },
    ...more,
  });
const loaded = (worker: TestWorker) => until(() => worker.residency.phase !== 'loading');
const ready = async (worker: TestWorker) => (await get(worker, '/v1/ready')).json();
const claims = (handle: string) => JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString());

t.test('what came by reference is here again after a restart, sealed anew', onSimulator, async (t) => {
  const { start, shards, manifest, events } = place(t);
  const first = await start();
  const more = { gpu_device: 1, shard_index: 1, total_shards: 2, expected_digest: sha256(contents.a) };
  const { handle } = (await commit(first, 'a', 'a', more)).json();
  const expected_tree_digest = referenceTreeDigest(contents.b);
  await commit(first, 'b', './b', { flat_digest: false, expected_tree_digest });
  await commit(first, 'c', 'c');
  await remove(first, '/v1/shards/c');
  t.match(shards(), [
    { shard_id: 'a', path: 'a', digest: sha256(contents.a), expected: 'sha256', gpu_device: 1 },
    { shard_id: 'b', path: './b', digest: null, tree_digest: expected_tree_digest, expected: 'tree' },
  ]);
  t.equal(statSync(manifest).mode & 0o777, 0o600);
  const written = readFileSync(manifest, 'utf8');
  await first.stop();
  t.equal(readFileSync(manifest, 'utf8'), written, 'a planned stop takes nothing off the list');

  const second = await start();
  await loaded(second);
  const answer = await ready(second);
  t.equal(answer.state, 'ready');
  t.same(answer.handles.map(({ shard }: { shard: { shard_id: string } }) => shard.shard_id).sort(), ['a', 'b']);
  const restored = answer.handles.find(({ shard }: { shard: { shard_id: string } }) => shard.shard_id === 'a');
  const { jti: _, iat: __, boot_id, sealed_at: ___, ...same } = claims(handle);
  t.match(claims(restored.handle), same, 'it states what it stated');
  t.not(claims(restored.handle).boot_id, boot_id);
  t.match((await post(second, '/v1/handles/verify', { handle })).json(), { reason: 'stale_boot' });
  t.match((await post(second, '/v1/handles/verify', { handle: restored.handle })).json(), { valid: true });
  const b = answer.handles.find(({ shard }: { shard: { shard_id: string } }) => shard.shard_id === 'b');
  t.match(claims(b.handle), { digest: null, expected: 'tree' });
  t.equal((await commit(second, 'a', 'a', more)).statusCode, 200, 'committing it again is a safe retry');
  t.same(events().filter(({ event }) => event === 'VramSealed').length, 5);
});

t.test('while it loads, ready says how far it is, and commits are taken', onSimulator, async (t) => {
  const { start } = place(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await commit(first, 'b', 'b');
  await first.stop();

  simulator.latencyUs(20_000);
  const second = await start();
  const loading = await get(second, '/v1/ready');
  t.equal(loading.statusCode, 503);
  t.match(loading.json(), {
    state: 'loading',
    reasons: [{ code: 'LOADING', detail: /^\d of 2 shards are restored$/ }, {}],
  });
  t.equal((await get(second, '/readyz')).statusCode, 503);
  t.match((await upload(second, 'a', contents.a)).json(), { status: 409, code: 'SHARD_BUSY' }, 'its name is taken');
  t.equal((await upload(second, 'new', contents.c)).statusCode, 201);
  simulator.latencyUs(0);
  await loaded(second);
  t.equal((await get(second, '/v1/ready')).statusCode, 200);
});

t.test('shards that a restart brings back have their memory before anybody else', onSimulator, async (t) => {
  const { start, models } = place(t);
  writeFileSync(join(models, 'big'), patternBytes(40 * 1024 * 1024));
  const first = await start();
  t.equal((await commit(first, 'big', 'big', { gpu_device: 0 })).statusCode, 201);
  await first.stop();
  const second = await start();
  const refused = await upload(second, 'other', patternBytes(40 * 1024 * 1024), { gpu_device: '0' });
  t.match(refused.json(), { code: 'VRAM_OOM' });
  await loaded(second);
  t.equal(second.residency.shard('big').state, 'sealed');
});

t.test('what can not be had again is lost, and said to be, until somebody minds', async (t) => {
  const { start, models, events, shards } = place(t);
  const log: string[] = [];
  const first = await start();
  for (const name of ['a', 'b', 'c']) await commit(first, name, name);
  await upload(first, 'upload', contents.b, { model_ref: 'model-upload' });
  await first.stop();
  rmSync(join(models, 'b'));
  writeFileSync(join(models, 'c'), patternBytes(5000, 4));

  const second = await start({ log: (line) => log.push(line) });
  await loaded(second);
  const answer = await get(second, '/v1/ready');
  t.equal(answer.statusCode, 200, 'one model is here, and nothing is in its way');
  const { ready: isReady, reasons, lost, models: models2 } = answer.json();
  t.equal(isReady, true);
  t.same(reasons, [], 'so nothing is a reason');
  t.match(
    lost.sort((a: { shard_id: string }, b: { shard_id: string }) => (a.shard_id < b.shard_id ? -1 : 1)),
    [
      { shard_id: 'b', model_ref: 'model-b', detail: /no such file/ },
      { shard_id: 'c', model_ref: 'model-c', detail: /digest/ },
      { shard_id: 'upload', model_ref: 'model-upload', detail: /it was uploaded/ },
    ],
  );
  t.match(
    models2.filter((model: { ready: boolean }) => !model.ready),
    [{ resident_shards: 0, total_shards: 1 }, {}, {}],
  );
  const narrow = await get(second, '/v1/ready?model_ref=model-b');
  t.equal(narrow.statusCode, 503);
  t.match(narrow.json(), {
    ready: false,
    reasons: [{ code: 'NO_MODEL_READY' }, { code: 'SHARD_LOST', detail: /shard b of model-b is lost/ }],
    lost: [{ shard_id: 'b' }],
  });
  t.equal(narrow.json().lost.length, 1, 'nothing of other models');
  const other = await get(second, '/v1/ready?model_ref=model-a');
  t.match(other.json(), { ready: true, reasons: [], lost: [] });
  t.match(
    (await remove(second, '/v1/shards/a')).statusCode,
    204,
    'once the last good model is gone, what is lost is in the way of ready itself',
  );
  const none = await ready(second);
  t.equal(none.ready, false);
  t.same(
    none.reasons.map(({ code }: { code: string }) => code),
    ['NO_MODEL_READY', 'SHARD_LOST', 'SHARD_LOST', 'SHARD_LOST'],
  );
  t.equal((await commit(second, 'a', 'a')).statusCode, 201);
  t.match(
    events()
      .filter(({ event }) => event === 'ShardLost')
      .map(({ shard_id, severity }) => `${shard_id} ${severity}`)
      .sort(),
    ['b critical', 'c critical', 'upload warning'],
  );
  t.equal(shards().length, 4, 'what is lost stays on the list');

  t.equal((await remove(second, '/v1/shards/upload')).statusCode, 204, 'released: forgotten');
  t.equal((await remove(second, '/v1/shards/upload')).statusCode, 404);
  t.equal((await upload(second, 'c', contents.c, { model_ref: 'model-c' })).statusCode, 201, 'committed: here');
  writeFileSync(join(models, 'b'), contents.b);
  await second.stop();
  const third = await start();
  await loaded(third);
  t.match(await ready(third), { reasons: [], lost: [{ shard_id: 'c', detail: /it was uploaded/ }] });
  t.equal(third.residency.shard('b').state, 'sealed', 'its file is there again');
});

t.test('a manifest that is damaged, torn or open to others stops the start', async (t) => {
  const { start, manifest } = place(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  const good = readFileSync(manifest, 'utf8');
  const cases = [
    ['torn', good.slice(0, -20), 0o600],
    ['empty', '', 0o600],
    ['no object', '7', 0o600],
    ['another name', good.replace('"model-a"', '"model-b"'), 0o600],
    ['another version', good.replace('"version": 1', '"version": 2'), 0o600],
    ['others may write it', good, 0o620],
  ] as const;
  for (const [name, text, mode] of cases) {
    writeFileSync(manifest, text);
    chmodSync(manifest, mode);
    await t.rejects(start(), { name: 'ManifestError', message: /WORKER_MANIFEST.*manifest\.json/ }, name);
    t.equal(readFileSync(manifest, 'utf8'), text, `${name}: it is left as it was`);
  }
  writeFileSync(manifest, good);
  chmodSync(manifest, 0o600);
  const last = await start();
  await loaded(last);
  t.equal(last.residency.shard('a').state, 'sealed');
});

t.test('what can not be listed is not sealed, and what can not be taken off is not released', async (t) => {
  const { start, manifest, directory, events } = place(t);
  const aside = `${manifest}.new`;
  const worker = await start();
  const before = await availableBytes(worker);
  await commit(worker, 'a', 'a');
  mkdirSync(aside);
  t.match((await commit(worker, 'b', 'b')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE', detail: /manifest/ });
  t.equal((await get(worker, '/v1/shards/b')).statusCode, 404);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.equal(worker.residency.shard('a').state, 'sealed');
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ detail: /manifest/ }] });
  t.equal((await get(worker, '/v1/ready')).statusCode, 200, 'what is here is attested all the same');
  t.equal(events().at(-1)?.event, 'VramDeallocated', 'the commit that was undone');

  rmSync(aside, { recursive: true });
  t.equal((await get(worker, '/readyz')).statusCode, 200, 'it recovers by itself');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);

  // The audit log fails after the shard was taken off the list: it is put back.
  await commit(worker, 'a', 'a');
  const listed = readFileSync(manifest, 'utf8');
  const auditLog = join(directory, 'audit.log');
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 503);
  t.equal(readFileSync(manifest, 'utf8'), listed);
});

t.test('a worker that stops while it loads keeps what it has not restored', onSimulator, async (t) => {
  const { start, manifest } = place(t);
  const first = await start();
  for (const name of ['a', 'b', 'c']) await commit(first, name, name);
  await first.stop();
  const listed = readFileSync(manifest, 'utf8');
  simulator.latencyUs(20_000);
  const second = await start();
  second.residency.drain();
  t.match(await ready(second), { state: 'draining' });
  simulator.latencyUs(0);
  await second.stop();
  t.equal(readFileSync(manifest, 'utf8'), listed);
  const third = await start();
  await loaded(third);
  t.equal((await ready(third)).handles.length, 3);
});

t.test('a driver that has no room yet, or an audit log, is waited for', onSimulator, async (t) => {
  const { start, auditLog } = place(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  const second = await start();
  t.match(await ready(second), { state: 'loading' });
  simulator.faults('cuMemCreate:1=2');
  rmSync(auditLog);
  renameSync(`${auditLog}.away`, auditLog);
  await loaded(second);
  t.equal(second.residency.shard('a').state, 'sealed');
});
