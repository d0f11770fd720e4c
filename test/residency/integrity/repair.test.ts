import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { verifyHandle as verifySignature } from '../../../src/seal/handle.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { damage, memoryContains } from '../../support/damage.js';
import { claimsOf, currentHandle, verifyHandle } from '../../support/handles.js';
import { get } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import {
  bytes,
  entriesOf,
  firstDetail,
  groupBytes,
  startRepairable,
  untilGivenUp,
  untilSealed,
  verify,
} from './repairable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

t.test('a damaged shard is repaired from its file and gets a new handle', onSimulator, async (t) => {
  const { worker, path, handle, auditLog } = await startRepairable(t);
  // Only the first group of the file is intact, so a repair that reads another one fails.
  writeFileSync(path, Buffer.concat([bytes.subarray(0, groupBytes), Buffer.alloc(bytes.length - groupBytes)]));
  const { digest, sealed_at } = (await get(worker, '/v1/shards/a')).json();
  damage(bytes, 0, 5000);
  const report = await verify(worker);
  t.match(report, { verified: false, reason: 'damaged', corrupt_ranges: [{ offset: 0, length: groupBytes }] });
  await untilSealed(worker);

  const ready = await get(worker, '/v1/ready');
  t.equal(ready.statusCode, 200);
  const [current] = ready.json().handles;
  t.match(current.shard, { digest, state: 'sealed' });
  t.notOk('corrupt_ranges' in current.shard);
  t.ok(current.shard.sealed_at >= sealed_at);
  const before = await verifyHandle(worker, handle);
  const after = await verifyHandle(worker, current.handle);
  t.match(before, { valid: false, reason: 'superseded' });
  t.match(after, { valid: true, claims: { prev: before.claims.jti, digest, tree_digest: before.claims.tree_digest } });
  t.ok(memoryContains(0, bytes), 'the memory has all bytes again');
  t.match(await verify(worker), { verified: true });

  const { jti } = after.claims;
  const ranges = [{ offset: 0, length: groupBytes }];
  t.match(entriesOf(auditLog).slice(-4), [
    { event: 'SealVerificationFailed', severity: 'critical', shard_id: 'a', corrupt_ranges: ranges },
    { event: 'RepairStarted', shard_id: 'a', corrupt_ranges: ranges },
    { event: 'VramSealed', shard_id: 'a', jti, prev: before.claims.jti },
    { event: 'SealVerified', jti },
  ]);
  const metrics = (await worker.app.inject('/metrics')).body;
  t.match(metrics, /vram_repairs_total\{outcome="ok"\} 1/);
});

t.test('one repair fixes several damaged ranges, up to the last byte', onSimulator, async (t) => {
  const { worker } = await startRepairable(t);
  damage(bytes, 0, groupBytes, 3 * groupBytes + 7, 4 * groupBytes, bytes.length - 1);
  t.equal((await verify(worker)).corrupt_ranges.length, 3);
  await untilSealed(worker);
  t.match(await verify(worker), { verified: true });
  t.ok(memoryContains(0, bytes));
});

t.test('a corrupt shard whose bytes are correct again also gets a new handle', onSimulator, async (t) => {
  const { worker, path, handle } = await startRepairable(t);
  renameSync(path, `${path}.away`);
  damage(bytes, 0, 5000);
  await verify(worker);
  await untilGivenUp(worker);
  damage(bytes, 0, 5000);
  renameSync(`${path}.away`, path);
  t.match(await verify(worker), { verified: false, reason: 'corrupt' });
  await untilSealed(worker);
  t.match(await verifyHandle(worker, handle), { reason: 'superseded' });
});

// 12 rotations are more than the worker keeps previous keys for clients. 3600 s outlasts the test.
for (const [rotations, graceSeconds] of [
  [1, 0],
  [1, 3600],
  [12, 0],
  [12, 3600],
]) {
  const name = `a shard is repaired after ${rotations} key rotations with a grace of ${graceSeconds} s`;
  t.test(name, onSimulator, async (t) => {
    const { worker, path, handle } = await startRepairable(t, {
      env: { WORKER_KEY_GRACE_SECONDS: String(graceSeconds) },
    });
    renameSync(path, `${path}.away`);
    damage(bytes, 0, 5000);
    await verify(worker);
    await untilGivenUp(worker);
    let secret = Buffer.alloc(0);
    for (let rotation = 0; rotation < Number(rotations); rotation++) {
      secret = Buffer.from(`key ${rotation}`.padEnd(32, '.'));
      await worker.residency.sealKey.rotate(secret);
      await worker.residency.sealKey.tick();
    }
    renameSync(`${path}.away`, path);
    t.match(await verify(worker), { verified: false, reason: 'damaged', checks: { signature: true } });
    await untilSealed(worker);
    const current = await currentHandle(worker);
    const prev = claimsOf(handle).jti;
    t.match(verifySignature(current, deriveSealKey(secret, 'worker-1')), { ok: true, claims: { prev } });
    t.match(await verifyHandle(worker, current), { valid: true });
    t.match(await verify(worker), { verified: true });
  });
}

t.test('a shard is not repaired from a file that is missing or has changed', onSimulator, async (t) => {
  const { worker, models, path, auditLog } = await startRepairable(t);
  writeFileSync(join(models, '..', 'outside'), bytes);
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(5001) ^ 1, 5001);
  const cases = [
    ['missing', () => undefined, /does not exist in the model directory/],
    ['a link that leads outside', () => symlinkSync('../outside', path), /leads outside/],
    ['longer', () => writeFileSync(path, Buffer.concat([bytes, Buffer.of(0)])), /length of the file has changed/],
    ['shorter', () => writeFileSync(path, bytes.subarray(1)), /length of the file has changed/],
    ['changed in the damaged range', () => writeFileSync(path, changed), /does not have the sealed bytes/],
  ] as const;
  damage(bytes, 0, 5000);
  for (const [name, replace, why] of cases) {
    rmSync(path, { force: true });
    replace();
    t.match(await verify(worker), { verified: false, reason: 'damaged' }, name);
    await until(async () => why.test(await firstDetail(worker)));
    await untilGivenUp(worker);
    t.equal((await get(worker, '/v1/ready')).statusCode, 503);
    t.match((await get(worker, '/v1/shards/a')).json(), { state: 'corrupt', corrupt_ranges: [{ offset: 0 }] }, name);
  }
  t.match(
    entriesOf(auditLog).filter(({ event }) => event === 'RepairFailed'),
    [{ severity: 'critical', failures: 1 }, { failures: 2 }, { failures: 3 }],
    'the worker tried three times',
  );
  rmSync(path);
  writeFileSync(path, bytes);
  await verify(worker);
  await untilSealed(worker);
  t.pass('a requested verification starts another repair');
});

t.test('a repair writes nothing while the audit log cannot be written', onSimulator, async (t) => {
  const { worker, auditLog } = await startRepairable(t);
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  damage(bytes, 0, 5000);
  await verify(worker);
  await until(async () => /audit log/.test((await get(worker, '/v1/ready')).json().reasons[1]?.detail));
  simulator.reset();
  await sleep(100);
  t.equal(simulator.calls('cuMemSetAccess'), 0);
  rmSync(auditLog);
  renameSync(`${auditLog}.away`, auditLog);
  await untilSealed(worker);
  t.pass('it is repaired once the log is writable again');
});
