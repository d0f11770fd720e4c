import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { verifyHandle } from '../../../src/seal/handle.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { patternBytes } from '../../support/bytes.js';
import { damage, lies } from '../../support/damage.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker, type WorkerOptions } from '../../support/worker.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

const groupBytes = 512 * 1024;
const bytes = patternBytes(3 * mebibyte + 5);
const unknown = 999;

t.afterEach(() => simulator.reset());

/** A worker with one shard `a` from the file `models/model.bin`, and its handle. */
async function withFile(t: Test, options: WorkerOptions = {}) {
  const directory = t.testdir({});
  const models = join(directory, 'models');
  const path = join(models, 'model.bin');
  mkdirSync(models);
  writeFileSync(path, bytes);
  const auditLog = join(directory, 'audit.log');
  const worker = await startWorker(t, {
    residency: { repairBackoffMs: [5, 5] },
    ...options,
    env: { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: auditLog, ...options.env },
  });
  const source = { type: 'file', path: 'model.bin' };
  const answer = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', source });
  const events = () =>
    readFileSync(auditLog, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  return { worker, models, path, handle: String(answer.json().handle), events };
}

const verify = async (worker: TestWorker) => (await post(worker, '/v1/shards/a/verify')).json();
const jtiOf = (handle: string): string =>
  JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()).jti;
const detail = async (worker: TestWorker): Promise<string> =>
  (await get(worker, '/v1/ready')).json().reasons[0]?.detail;
const verdict = async (worker: TestWorker, handle: string) =>
  (await post(worker, '/v1/handles/verify', { handle })).json();
const sealed = (worker: TestWorker) => until(() => worker.residency.shard('a').state === 'sealed');
const givenUp = (worker: TestWorker) => until(async () => /gave up/.test((await detail(worker)) ?? ''));

t.test('a damaged shard is repaired from its file, and sealed anew', onSimulator, async (t) => {
  const { worker, path, handle, events } = await withFile(t);
  // What was not damaged is not read: the file may be another there.
  writeFileSync(path, Buffer.concat([bytes.subarray(0, groupBytes), Buffer.alloc(bytes.length - groupBytes)]));
  const { digest, sealed_at } = (await get(worker, '/v1/shards/a')).json();
  damage(bytes, 0, 5000);
  const report = await verify(worker);
  t.match(report, { verified: false, reason: 'damaged', corrupt_ranges: [{ offset: 0, length: groupBytes }] });
  await sealed(worker);

  const ready = await get(worker, '/v1/ready');
  t.equal(ready.statusCode, 200);
  const [standing] = ready.json().handles;
  t.match(standing.shard, { digest, state: 'sealed' });
  t.notOk('corrupt_ranges' in standing.shard);
  t.ok(standing.shard.sealed_at >= sealed_at);
  const before = await verdict(worker, handle);
  const after = await verdict(worker, standing.handle);
  t.match(before, { valid: false, reason: 'superseded' });
  t.match(after, { valid: true, claims: { prev: before.claims.jti, digest, tree_digest: before.claims.tree_digest } });
  t.ok(lies(0, bytes), 'the bytes are all there again');
  t.match(await verify(worker), { verified: true });

  const { jti } = after.claims;
  const ranges = [{ offset: 0, length: groupBytes }];
  t.match(events().slice(-4), [
    { event: 'SealVerificationFailed', severity: 'critical', shard_id: 'a', corrupt_ranges: ranges },
    { event: 'RepairStarted', shard_id: 'a', corrupt_ranges: ranges },
    { event: 'VramSealed', shard_id: 'a', jti, prev: before.claims.jti },
    { event: 'SealVerified', jti },
  ]);
  const metrics = (await worker.app.inject('/metrics')).body;
  t.match(metrics, /vram_repairs_total\{outcome="ok"\} 1/);
});

t.test('damage in several places, to the last byte, is repaired in one go', onSimulator, async (t) => {
  const { worker } = await withFile(t);
  damage(bytes, 0, groupBytes, 3 * groupBytes + 7, 4 * groupBytes, bytes.length - 1);
  t.equal((await verify(worker)).corrupt_ranges.length, 3);
  await sealed(worker);
  t.match(await verify(worker), { verified: true });
  t.ok(lies(0, bytes));
});

t.test('a shard that reads well again is sealed anew all the same', onSimulator, async (t) => {
  const { worker, path, handle } = await withFile(t);
  renameSync(path, `${path}.away`);
  damage(bytes, 0, 5000);
  await verify(worker);
  await givenUp(worker);
  damage(bytes, 0, 5000);
  renameSync(`${path}.away`, path);
  t.match(await verify(worker), { verified: false, reason: 'corrupt' });
  await sealed(worker);
  t.match(await verdict(worker, handle), { reason: 'superseded' });
});

// More changes than keys of before are kept for what others bring, and a grace that outlasts the test or is none.
for (const [changes, graceSeconds] of [
  [1, 0],
  [1, 3600],
  [12, 0],
  [12, 3600],
]) {
  const name = `a shard that was corrupt when the seal key changed (${changes} times, grace ${graceSeconds} s) is sealed anew`;
  t.test(name, onSimulator, async (t) => {
    const { worker, path, handle } = await withFile(t, { env: { WORKER_KEY_GRACE_SECONDS: String(graceSeconds) } });
    renameSync(path, `${path}.away`);
    damage(bytes, 0, 5000);
    await verify(worker);
    await givenUp(worker);
    let key = Buffer.alloc(0);
    for (let change = 0; change < Number(changes); change++) {
      key = Buffer.from(`key ${change}`.padEnd(32, '.'));
      worker.residency.sealKey.rotate(key);
      worker.residency.sealKey.tick();
    }
    renameSync(`${path}.away`, path);
    t.match(await verify(worker), { verified: false, reason: 'damaged', checks: { signature: true } });
    await sealed(worker);
    const [standing] = (await get(worker, '/v1/ready')).json().handles;
    const prev = jtiOf(handle);
    t.match(verifyHandle(standing.handle, deriveSealKey(key, 'worker-1')), { ok: true, claims: { prev } });
    t.match(await verdict(worker, standing.handle), { valid: true });
    t.match(await verify(worker), { verified: true });
  });
}

t.test(
  'from a file that is gone, or another now, nothing is repaired, and the shard says so',
  onSimulator,
  async (t) => {
    const { worker, models, path, events } = await withFile(t);
    writeFileSync(join(models, '..', 'outside'), bytes);
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(5001) ^ 1, 5001);
    const cases = [
      ['gone', () => rmSync(path), /no such file/],
      ['a link that leads out', () => symlinkSync('../outside', path), /does not stay inside/],
      ['longer', () => appendFileSync(path, 'x'), /length of the file has changed/],
      ['shorter', () => writeFileSync(path, bytes.subarray(1)), /length of the file has changed/],
      ['changed where the damage is', () => writeFileSync(path, changed), /VRAM_FILE_DIFFERS/],
    ] as const;
    damage(bytes, 0, 5000);
    for (const [name, change, why] of cases) {
      rmSync(path, { force: true });
      writeFileSync(path, bytes);
      if (name === 'gone' || name.startsWith('a link')) rmSync(path);
      if (name === 'gone') writeFileSync(path, '');
      change();
      t.match(await verify(worker), { verified: false, reason: 'damaged' }, name);
      await until(async () => why.test((await detail(worker)) ?? ''));
      await givenUp(worker);
      t.equal((await get(worker, '/v1/ready')).statusCode, 503);
      t.match((await get(worker, '/v1/shards/a')).json(), { state: 'corrupt', corrupt_ranges: [{ offset: 0 }] }, name);
    }
    t.match(
      events().filter(({ event }) => event === 'RepairFailed'),
      [{ severity: 'critical', failures: 1 }, { failures: 2 }, { failures: 3 }],
      'it was tried three times by itself',
    );
    rmSync(path);
    writeFileSync(path, bytes);
    await verify(worker);
    await sealed(worker);
    t.pass('a verification that is asked for tries once more');
  },
);

t.test('an upload can not be repaired: it stays corrupt until it is released', onSimulator, async (t) => {
  const { worker } = await withFile(t);
  const other = patternBytes(mebibyte, 9);
  await upload(worker, 'b', other, { gpu_device: '1' });
  damage(other, 1, 0);
  t.match((await post(worker, '/v1/shards/b/verify')).json(), { verified: false });
  t.match(await detail(worker), /upload/);
  t.equal((await remove(worker, '/v1/shards/b')).statusCode, 204);
  t.equal((await get(worker, '/v1/ready')).statusCode, 200);
});

t.test('whichever driver call fails, once, the shard ends up repaired', onSimulator, async (t) => {
  const { worker } = await withFile(t, { residency: { repairBackoffMs: [1, 1, 1, 1] } });
  damage(bytes, 0, 5000);
  simulator.reset();
  await verify(worker);
  await sealed(worker);
  const calls = simulator.calls('*');
  t.ok(calls > 40, `${calls} calls to fail`);
  for (let nth = 1; nth <= calls; nth++) {
    damage(bytes, 0, 5000);
    simulator.faults(`*:${nth}=${unknown}`);
    // The fault may hit the verification itself: then the next one finds the damage.
    while (worker.residency.shard('a').state === 'sealed') {
      if ((await verify(worker)).verified === false) break;
    }
    await sealed(worker);
    simulator.faults('');
    t.match(await verify(worker), { verified: true }, `call ${nth}`);
  }
  t.ok(lies(0, bytes));
});

t.test(
  'a driver that fails for good leaves the shard corrupt, until it is well and somebody asks',
  onSimulator,
  async (t) => {
    const { worker } = await withFile(t);
    for (const name of ['cuMemSetAccess', 'cuMemcpyHtoDAsync_v2', 'cuPointerGetAttributes']) {
      damage(bytes, 0, 5000);
      simulator.faults(`${name}:1+=${unknown}`);
      // A driver that can not say where the memory is fails the verification, too.
      if (name === 'cuPointerGetAttributes') {
        t.match(await verify(worker), { code: 'CUDA_ERROR' });
        simulator.faults('');
        simulator.faults(`${name}:3+=${unknown}`);
      }
      t.match(await verify(worker), { verified: false }, name);
      await givenUp(worker);
      simulator.faults('');
      t.equal((await get(worker, '/v1/ready')).statusCode, 503);
      await verify(worker);
      await sealed(worker);
      t.match(await verify(worker), { verified: true }, name);
    }
  },
);

t.test('without its audit log nothing is written to sealed memory', onSimulator, async (t) => {
  const { worker, models } = await withFile(t);
  const auditLog = join(models, '..', 'audit.log');
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  damage(bytes, 0, 5000);
  await verify(worker);
  await until(async () => /audit log/.test((await get(worker, '/v1/ready')).json().reasons[1]?.detail));
  simulator.reset();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(simulator.calls('cuMemSetAccess'), 0);
  rmSync(auditLog);
  renameSync(`${auditLog}.away`, auditLog);
  await sealed(worker);
  t.pass('it is repaired as soon as that can be written down');
});

t.test('a shard that is released while it is repaired is gone, and its memory is free', onSimulator, async (t) => {
  const { worker } = await withFile(t);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  for (const latencyUs of [0, 300, 1000]) {
    const source = { type: 'file', path: 'model.bin' };
    await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', source });
    damage(bytes, 0, 5000, 2 * groupBytes);
    await verify(worker);
    simulator.latencyUs(latencyUs);
    t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
    simulator.latencyUs(0);
    t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  }
  t.equal(simulator.live('*'), live - 3, 'pages, addresses and their mapping of one shard less');
  t.not((await availableBytes(worker))[0], before[0]);
});

t.test('many shards that are damaged at once are all repaired', onSimulator, async (t) => {
  const { worker, models } = await withFile(t);
  const ids = Array.from({ length: 7 }, (_, index) => `many-${index}`);
  const contents = ids.map((_, index) => patternBytes(5000, index + 10));
  for (const [index, id] of ids.entries()) {
    const path = `${id}.bin`;
    writeFileSync(join(models, path), contents[index] ?? '');
    await post(worker, '/v1/commit', { shard_id: id, model_ref: 'm', gpu_device: 1, source: { type: 'file', path } });
  }
  for (const content of contents) damage(content, 1, 4500);
  await Promise.all(ids.map((id) => post(worker, `/v1/shards/${id}/verify`)));
  await until(() => ids.every((id) => worker.residency.shard(id).state === 'sealed'));
  t.ok(contents.every((content) => lies(1, content)));
});
