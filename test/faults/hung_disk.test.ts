import { readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { nodeFileSystem } from '../../src/storage/fs.js';
import { eventsOf } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { HeldSyncs } from '../support/held_syncs.js';
import { shardsListedIn } from '../support/manifest.js';
import { get, remove, upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(5000);
t.setTimeout(600_000);

/** A worker with a sealed shard `a`, whose audit log and manifest can hang. */
async function scene(t: Test) {
  const directory = temporaryDirectory(t);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  writeFileSync(join(directory, 'model'), bytes);
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest } });
  await upload(worker, 'a', bytes);
  return { worker, directory, log, manifest, listed: () => shardsListedIn(manifest).map(({ shard_id }) => shard_id) };
}

/** While a file hangs, every change is refused at once, health has the reason, and all other requests are answered. */
async function refusesAtOnce(t: Test, worker: TestWorker, file: RegExp): Promise<void> {
  t.match((await get(worker, '/readyz')).json(), {
    ready: false,
    reasons: [{ code: 'AUDIT_UNAVAILABLE', detail: file }],
  });
  t.match((await upload(worker, 'c', bytes)).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.equal((await get(worker, '/livez')).statusCode, 200);
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'sealed');
}

const untilHealthy = (worker: TestWorker) => until(async () => (await get(worker, '/readyz')).statusCode === 200);

t.test('a manifest whose rewrite hangs after its rename has no refused change', async (t) => {
  const { worker, directory, manifest, listed } = await scene(t);
  const syncs = HeldSyncs.take(t, 'fsync');
  renameSync(manifest, `${manifest}.away`);
  syncs.hold(directory);
  t.match((await upload(worker, 'b', bytes)).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.equal(syncs.held, 1, 'the rewrite still hangs');
  t.same(listed(), ['a'], 'a kill now restores what was acknowledged');
  await refusesAtOnce(t, worker, /manifest/);
  t.equal((await get(worker, '/v1/ready')).statusCode, 200, 'the resident shard is still attested');
  syncs.letGo();
  await untilHealthy(worker);
  t.equal((await upload(worker, 'b', bytes)).statusCode, 201);
  t.same(listed(), ['a', 'b']);
});

t.test('a record of the manifest that is synced too late is removed', async (t) => {
  const { worker, manifest, log, listed } = await scene(t);
  const syncs = HeldSyncs.take(t);
  syncs.hold(manifest);
  const refused = [upload(worker, 'b', bytes), remove(worker, '/v1/shards/a')];
  for (const answer of refused) t.match((await answer).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  await refusesAtOnce(t, worker, /manifest/);
  syncs.letGo();
  await untilHealthy(worker);
  t.same(listed(), ['a']);
  const ends = eventsOf(log).filter((event) => /VramDeallocated|EffectAborted/.test(event));
  t.same(ends.sort(), ['EffectAborted', 'VramDeallocated', 'VramDeallocated'], 'the log says that neither took effect');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
});

t.test('an entry of the audit log that hangs leaves the manifest as it is', async (t) => {
  const { worker, log, listed } = await scene(t);
  const syncs = HeldSyncs.take(t);
  syncs.hold(log);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.same(listed(), ['a']);
  await refusesAtOnce(t, worker, /audit log/);
  t.match((await get(worker, '/v1/ready')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
  syncs.letGo();
  await untilHealthy(worker);
  t.notOk(eventsOf(log).includes('VramDeallocated'));
});

t.test('a worker stops and wipes its memory while both files hang', async (t) => {
  const { worker } = await scene(t);
  const syncs = HeldSyncs.take(t);
  syncs.hold();
  const refused = upload(worker, 'b', bytes);
  await worker.stop();
  t.equal(worker.residency.phase, 'stopped');
  t.match((await refused).json(), { status: 503 });
  t.ok(syncs.held > 0, 'a file still hangs');
  t.same(worker.residency.stats().shardsByState.sealed, 0);
});

t.test('locks that the file system does not take back do not delay the end of a shutdown', async (t) => {
  const { worker } = await scene(t);
  const { close } = nodeFileSystem;
  let hung = 0;
  t.teardown(() => Object.assign(nodeFileSystem, { close }));
  Object.assign(nodeFileSystem, {
    close: (descriptor: number) => {
      if (!readlinkSync(`/proc/self/fd/${descriptor}`).endsWith('.lock')) return close(descriptor);
      hung += 1;
      return new Promise(() => undefined);
    },
  });
  await worker.stop();
  t.equal(hung, 1);
});
