import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { claimsOf, verifyHandle } from '../../support/handles.js';
import { get, mebibyte, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { commit, contents, ready, restartable, shardIds, untilLoaded } from '../restartable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

t.test('a restart restores the shards that were committed by reference, with new handles', onSimulator, async (t) => {
  const { start, listed, manifest, entries } = restartable(t);
  const first = await start();
  const fields = { gpu_device: 1, shard_index: 1, total_shards: 2, expected_digest: sha256(contents.a) };
  const { handle } = (await commit(first, 'a', 'a', fields)).json();
  const expected_tree_digest = referenceTreeDigest(contents.b);
  await commit(first, 'b', './b', { flat_digest: false, expected_tree_digest });
  await commit(first, 'c', 'c');
  await remove(first, '/v1/shards/c');
  t.match(listed(), [
    {
      shard_id: 'a',
      source: { type: 'file', path: 'a' },
      digest: sha256(contents.a),
      expected: 'sha256',
      gpu_device: 1,
    },
    {
      shard_id: 'b',
      source: { type: 'file', path: './b' },
      digest: null,
      tree_digest: expected_tree_digest,
      expected: 'tree',
    },
  ]);
  const written = readFileSync(manifest, 'utf8');
  await first.stop();
  t.equal(readFileSync(manifest, 'utf8'), written, 'a stop removes nothing from the manifest');

  const second = await start();
  await untilLoaded(second);
  const answer = await ready(second);
  t.equal(answer.state, 'ready');
  const handles = new Map<string, string>(
    answer.handles.map((one: { handle: string; shard: { shard_id: string } }) => [one.shard.shard_id, one.handle]),
  );
  t.same([...handles.keys()].sort(), ['a', 'b']);
  const restored = handles.get('a') ?? '';
  const { jti: _, iat: __, boot_id, sealed_at: ___, ...claims } = claimsOf(handle);
  t.match(claimsOf(restored), claims, 'the claims of the first commit are kept');
  t.not(claimsOf(restored).boot_id, boot_id);
  t.match(await verifyHandle(second, handle), { reason: 'stale_boot' });
  t.match(await verifyHandle(second, restored), { valid: true });
  t.match(claimsOf(handles.get('b') ?? ''), { digest: null, expected: 'tree' });
  t.equal((await commit(second, 'a', 'a', fields)).statusCode, 200, 'a client can repeat its commit');
  t.same(entries().filter(({ event }) => event === 'VramSealed').length, 5);
});

t.test('during a restore, ready reports the progress and clients can commit', onSimulator, async (t) => {
  const { start } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await commit(first, 'b', 'b');
  await first.stop();

  simulator.latencyUs(20_000);
  const second = await start();
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  const loading = await get(second, '/v1/ready');
  t.equal(loading.statusCode, 503);
  t.match(loading.json(), {
    state: 'loading',
    reasons: [{ code: 'LOADING', detail: /^\d of 2 shards are restored$/ }, {}],
  });
  t.equal((await get(second, '/readyz')).statusCode, 503);
  const taken = await upload(second, 'a', contents.a);
  t.match(taken.json(), { status: 409, code: 'SHARD_BUSY' }, 'the id belongs to a shard that is being restored');
  simulator.latencyUs(20_000);
  t.equal((await upload(second, 'new', contents.c)).statusCode, 201);
  simulator.latencyUs(0);
  await untilLoaded(second);
  t.equal((await get(second, '/v1/ready')).statusCode, 200);
});

t.test('a restore takes its memory before any commit of a client', onSimulator, async (t) => {
  const { start, models } = restartable(t);
  writeFileSync(join(models, 'big'), patternBytes(40 * mebibyte));
  const first = await start();
  t.equal((await commit(first, 'big', 'big', { gpu_device: 0 })).statusCode, 201);
  await first.stop();
  const second = await start();
  const refused = await upload(second, 'other', patternBytes(40 * mebibyte), { gpu_device: '0' });
  t.match(refused.json(), { code: 'VRAM_OOM' });
  await untilLoaded(second);
  t.equal(second.residency.shard('big').state, 'sealed');
});

t.test('a worker that stops during a restore keeps the manifest', onSimulator, async (t) => {
  const { start, manifest } = restartable(t);
  const first = await start();
  for (const shardId of shardIds) await commit(first, shardId, shardId);
  await first.stop();
  const written = readFileSync(manifest, 'utf8');
  simulator.latencyUs(20_000);
  const second = await start();
  second.residency.drain();
  t.match(await ready(second), { state: 'draining' });
  simulator.latencyUs(0);
  await second.stop();
  t.equal(readFileSync(manifest, 'utf8'), written);
  const third = await start();
  await untilLoaded(third);
  t.equal((await ready(third)).handles.length, 3);
});

t.test(
  'a restore retries until the audit log, the memory and the digests of the device are good',
  onSimulator,
  async (t) => {
    const { start, auditLog, entries } = restartable(t);
    const first = await start();
    await commit(first, 'a', 'a');
    await first.stop();
    renameSync(auditLog, `${auditLog}.away`);
    symlinkSync('/dev/full', auditLog);
    const second = await start({ residency: { restoreRetryMs: 50 } });
    t.match(await ready(second), { state: 'loading' });
    simulator.faults('cuMemCreate:1=2');
    simulator.spoofs('kernel_output=1');
    rmSync(auditLog);
    renameSync(`${auditLog}.away`, auditLog);
    await until(() => entries().some(({ event }: { event: string }) => event === 'SealVerificationFailed'));
    simulator.spoofs('');
    await untilLoaded(second);
    t.equal(second.residency.shard('a').state, 'sealed');
  },
);
