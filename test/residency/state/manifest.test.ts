import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import t from 'tap';
import { sha256 } from '../../support/audit.js';
import { shardsListedIn } from '../../support/manifest.js';
import { availableBytes, get, remove } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { commit, restartable, untilLoaded } from '../restartable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

/** An entry as versions before 4 wrote it. */
const withPath = ({ source, expected_by: _, ...entry }: Readonly<Record<string, unknown>>) => ({
  ...entry,
  path: (source as { path: string }).path,
});

function withChecksum(record: object): string {
  const body = JSON.stringify(record).slice(0, -1);
  return `${body},"sha256":"${sha256(body)}"}`;
}

t.test('a worker does not start with a manifest that is damaged or writable by others', async (t) => {
  const { start, manifest } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await commit(first, 'b', 'b');
  await first.stop();
  t.equal(statSync(manifest).mode & 0o777, 0o600);
  const good = readFileSync(manifest, 'utf8');
  const [header = '', one = '', two = ''] = good.split('\n');
  const cases = [
    ['empty', '', 0o600],
    ['not an object', '7', 0o600],
    ['a changed name', good.replace('"model-a"', '"model-b"'), 0o600],
    ['a changed name in the last record', good.replace('"model-b"', '"model-c"'), 0o600],
    ['a newer version', `{"manifest":5,"sha256":"${sha256('{"manifest":5')}"}\n`, 0o600],
    ['a missing record', `${header}\n${two}\n`, 0o600],
    ['a repeated record', `${header}\n${one}\n${one}\n`, 0o600],
    ['writable by others', good, 0o620],
  ] as const;
  for (const [name, text, mode] of cases) {
    writeFileSync(manifest, text);
    chmodSync(manifest, mode);
    await t.rejects(start(), { name: 'ManifestError', message: /WORKER_MANIFEST.*manifest\.json/ }, name);
    t.equal(readFileSync(manifest, 'utf8'), text, `${name}: the file is unchanged`);
  }
  writeFileSync(manifest, good.slice(0, -20));
  chmodSync(manifest, 0o600);
  const last = await start();
  await untilLoaded(last);
  t.equal(last.residency.shard('a').state, 'sealed');
  t.throws(() => last.residency.shard('b'), { code: 'NOT_FOUND' }, 'a record that a crash cut off is ignored');
});

t.test('a manifest of version 1 is read, and replaced by one of the current version', async (t) => {
  const { start, manifest, listed } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  const shards = listed().map(withPath);
  const version1 = { version: 1, sha256: sha256(JSON.stringify(shards)), shards };
  writeFileSync(manifest, `${JSON.stringify(version1, null, 2)}\n`, { mode: 0o600 });
  const second = await start();
  await untilLoaded(second);
  t.equal(second.residency.shard('a').state, 'sealed');
  t.match(readFileSync(manifest, 'utf8'), /^\{"manifest":4,/);
  t.match(listed(), [{ shard_id: 'a', source: { type: 'file', path: 'a' }, expected: 'none' }]);
  await second.stop();
  for (const damage of [
    { ...version1, version: 0 },
    { ...version1, shards: [] },
  ]) {
    writeFileSync(manifest, JSON.stringify(damage));
    await t.rejects(start(), { name: 'ManifestError' });
  }
});

t.test(
  'a manifest with paths in place of references is read, and replaced by one of the current version',
  async (t) => {
    const { start, manifest, listed } = restartable(t);
    const first = await start();
    await commit(first, 'a', 'a');
    await first.stop();
    const shards = listed();
    for (const version of [2, 3]) {
      const records = [
        { manifest: version },
        ...shards.map(withPath).map((put, index) => ({ number: index + 1, put })),
      ];
      writeFileSync(manifest, `${records.map(withChecksum).join('\n')}\n`, { mode: 0o600 });
      const second = await start();
      await untilLoaded(second);
      t.equal(second.residency.shard('a').state, 'sealed', `version ${version}`);
      await second.stop();
      t.match(readFileSync(manifest, 'utf8'), /^\{"manifest":4,/);
      t.same(listed(), shards);
    }
  },
);

t.test('a manifest of which a reference is invalid stops the start', async (t) => {
  const { start, manifest, listed } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  const [put] = listed();
  for (const source of [{ type: 'file' }, { type: 'web', url: 'https://a.test/' }, 'file:a']) {
    const records = [{ manifest: 4 }, { number: 1, put: { ...put, source } }];
    writeFileSync(manifest, `${records.map(withChecksum).join('\n')}\n`, { mode: 0o600 });
    await t.rejects(start(), { name: 'ManifestError' }, JSON.stringify(source));
  }
});

t.test('no shard is sealed or released while the manifest cannot be written', async (t) => {
  const { start, manifest, entries } = restartable(t);
  const worker = await start();
  const before = await availableBytes(worker);
  await commit(worker, 'a', 'a');
  rmSync(manifest);
  mkdirSync(manifest);
  t.match((await commit(worker, 'b', 'b')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE', detail: /manifest/ });
  t.equal((await get(worker, '/v1/shards/b')).statusCode, 404);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.equal(worker.residency.shard('a').state, 'sealed');
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ detail: /manifest/ }] });
  t.equal((await get(worker, '/v1/ready')).statusCode, 200, 'the resident shard is still attested');
  // The worker may have noticed before the commit, which then took no memory.
  const last = entries().findLast(({ shard_id }) => shard_id === 'b')?.event;
  t.ok([undefined, 'VramDeallocated'].includes(last), 'the refused commit was undone');

  rmSync(manifest, { recursive: true });
  await until(async () => (await get(worker, '/readyz')).statusCode === 200, 'the worker does not recover');
  t.match(shardsListedIn(manifest), [{ shard_id: 'a' }], 'and writes the whole manifest again');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);
});

t.test('the manifest never contains a change that the audit log refuses', onSimulator, async (t) => {
  const { start, manifest, auditLog, entries } = restartable(t);
  const worker = await start();
  await commit(worker, 'a', 'a');
  const written = readFileSync(manifest, 'utf8');
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  const committing = commit(worker, 'b', 'b');
  await until(() => entries().at(-1)?.event === 'VramAllocated');
  renameSync(auditLog, `${auditLog}.away`);
  symlinkSync('/dev/full', auditLog);
  simulator.latencyUs(0);
  t.match((await committing).json(), { status: 503, code: 'AUDIT_UNAVAILABLE', detail: /audit log/ });
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 503);
  t.equal(readFileSync(manifest, 'utf8'), written, 'a kill at any moment restores what was acknowledged');
});

t.test('a release that the manifest refuses is recorded as aborted, and later ones are refused before', async (t) => {
  const { start, manifest, entries } = restartable(t);
  const worker = await start();
  await commit(worker, 'a', 'a');
  rmSync(manifest);
  mkdirSync(manifest);
  const releases = [await remove(worker, '/v1/shards/a'), await remove(worker, '/v1/shards/a')];
  for (const release of releases) t.match(release.json(), { status: 503, detail: /manifest/ });
  const ends = () => entries().filter(({ event }) => /VramDeallocated|EffectAborted/.test(event));
  await until(() => ends().length === 2);
  t.match(ends(), [{ event: 'VramDeallocated' }, { event: 'EffectAborted', aborted: 'VramDeallocated' }]);
  t.match((await commit(worker, 'b', 'b')).json(), { status: 503, detail: /manifest/ });
  t.notOk(
    entries().some(({ shard_id }) => shard_id === 'b'),
    'a commit is refused before it takes memory',
  );
  rmSync(manifest, { recursive: true });
  await until(async () => (await get(worker, '/readyz')).statusCode === 200, 'the worker does not recover');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(shardsListedIn(manifest), []);
});

t.test('a manifest that cannot be written does not keep a worker from its shards', async (t) => {
  const { start, manifest } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  const written = readFileSync(manifest, 'utf8');
  appendFileSync(manifest, '{"number":2,"put":{"shard');
  // The file of the lock cannot be created, as on a full disk.
  rmSync(`${manifest}.lock`);
  mkdirSync(`${manifest}.lock`);
  const second = await start();
  await untilLoaded(second);
  t.equal(second.residency.shard('a').state, 'sealed');
  t.match((await get(second, '/readyz')).json(), { ready: false, reasons: [{ detail: /manifest/ }] });
  t.equal((await get(second, '/v1/ready')).statusCode, 200);
  t.equal((await commit(second, 'b', 'b')).statusCode, 503);
  rmSync(`${manifest}.lock`, { recursive: true });
  await until(async () => (await get(second, '/readyz')).statusCode === 200);
  t.equal(readFileSync(manifest, 'utf8'), written);
  t.equal((await commit(second, 'b', 'b')).statusCode, 201);
});

t.test('a torn last line is cut off without a rewrite', async (t) => {
  const { start, manifest } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await first.stop();
  const [written, { ino }] = [readFileSync(manifest, 'utf8'), statSync(manifest)];
  appendFileSync(manifest, '{"number":2,"put":{"shard');
  writeFileSync(`${manifest}.new`, 'a rewrite that a crash cut off');
  const second = await start();
  await untilLoaded(second);
  t.equal(readFileSync(manifest, 'utf8'), written);
  t.equal(statSync(manifest).ino, ino, 'it is the same file');
  t.notOk(existsSync(`${manifest}.new`));
  t.equal((await commit(second, 'b', 'b')).statusCode, 201);
  t.match(shardsListedIn(manifest), [{ shard_id: 'a' }, { shard_id: 'b' }]);
});

t.test('a listed shard whose model_ref is refused now is lost, and can be released', async (t) => {
  const { start, manifest, listed } = restartable(t);
  const first = await start();
  await commit(first, 'a', 'a');
  await commit(first, 'b', 'b');
  await first.stop();
  const shards = listed().map((shard) => (shard.shard_id === 'a' ? { ...shard, model_ref: 'bell\u0007' } : shard));
  writeFileSync(manifest, JSON.stringify({ version: 1, sha256: sha256(JSON.stringify(shards)), shards }));
  const second = await start();
  await untilLoaded(second);
  t.equal(second.residency.shard('b').state, 'sealed');
  const { ready: isReady, lost } = (await get(second, '/v1/ready')).json();
  t.equal(isReady, true);
  t.match(lost, [{ shard_id: 'a', model_ref: 'bell\u0007', detail: /model_ref is not in Unicode NFC/ }]);
  t.equal((await remove(second, '/v1/shards/a')).statusCode, 204);
  t.match(listed(), [{ shard_id: 'b' }]);
});
