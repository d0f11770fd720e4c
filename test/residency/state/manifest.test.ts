import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { availableBytes, get, remove } from '../../support/requests.js';
import { commit, restartable, untilLoaded } from '../restartable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.test('a worker does not start with a manifest that is damaged or writable by others', async (t) => {
  const { start, manifest } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  t.equal(statSync(manifest).mode & 0o777, 0o600);
  const good = readFileSync(manifest, 'utf8');
  const cases = [
    ['torn', good.slice(0, -20), 0o600],
    ['empty', '', 0o600],
    ['not an object', '7', 0o600],
    ['a changed name', good.replace('"model-a"', '"model-b"'), 0o600],
    ['an unknown version', good.replace('"version": 1', '"version": 2'), 0o600],
    ['writable by others', good, 0o620],
  ] as const;
  for (const [name, text, mode] of cases) {
    writeFileSync(manifest, text);
    chmodSync(manifest, mode);
    await t.rejects(start(), { name: 'ManifestError', message: /WORKER_MANIFEST.*manifest\.json/ }, name);
    t.equal(readFileSync(manifest, 'utf8'), text, `${name}: the file is unchanged`);
  }
  writeFileSync(manifest, good);
  chmodSync(manifest, 0o600);
  const last = await start();
  await untilLoaded(last);
  t.equal(last.residency.shard('a').state, 'sealed');
});

t.test('no shard is sealed or released while the manifest cannot be written', async (t) => {
  const { start, manifest, entries } = restartable(t);
  const newManifest = `${manifest}.new`;
  const worker = await start();
  const before = await availableBytes(worker);
  await commit(worker, 'a', 'a');
  mkdirSync(newManifest);
  t.match((await commit(worker, 'b', 'b')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE', detail: /manifest/ });
  t.equal((await get(worker, '/v1/shards/b')).statusCode, 404);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.equal(worker.residency.shard('a').state, 'sealed');
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ detail: /manifest/ }] });
  t.equal((await get(worker, '/v1/ready')).statusCode, 200, 'the resident shard is still attested');
  t.equal(entries().at(-1)?.event, 'VramDeallocated', 'the refused commit was undone');

  rmSync(newManifest, { recursive: true });
  t.equal((await get(worker, '/readyz')).statusCode, 200, 'the worker recovers automatically');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);
});

t.test('a shard whose release the audit log cannot record stays on the manifest', async (t) => {
  const { start, manifest, auditLog } = restartable(t);
  const worker = await start();
  await commit(worker, 'a', 'a');
  const written = readFileSync(manifest, 'utf8');
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 503);
  t.equal(readFileSync(manifest, 'utf8'), written);
});
