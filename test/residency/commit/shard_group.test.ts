import t from 'tap';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { shardsListedIn } from '../../support/manifest.js';
import { sha256, upload } from '../../support/requests.js';
import { admit, contents, receive, startWithFiles, states } from '../../support/shard_groups.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

t.test('the shards of a group are sealed together, in one record of the manifest', async (t) => {
  const { worker, log, manifest } = await startWithFiles(t);
  const group = admit(worker);
  t.same(await states(worker), ['receiving', 'receiving', 'receiving']);
  for (const index of [2, 0]) await receive(group, index);
  t.same(await states(worker), ['sealing', 'receiving', 'sealing']);
  t.same(shardsListedIn(manifest), [], 'no shard is listed before the last one is proven');
  await receive(group, 1);
  const results = await group.seal();
  t.same(await states(worker), ['sealed', 'sealed', 'sealed']);
  t.same(
    results.map(({ shard, created }) => [shard.shardId, shard.digest, created]),
    contents.map((bytes, index) => [`m-${index}`, sha256(bytes), true]),
  );
  t.same(
    shardsListedIn(manifest).map(({ shard_id }) => shard_id),
    ['m-0', 'm-1', 'm-2'],
  );
  const events = readChain(log).filter(({ shard_id }) => shard_id !== null);
  t.same(
    events.slice(-3).map(({ event }) => event),
    ['VramSealed', 'VramSealed', 'VramSealed'],
  );
  t.same([...new Set(events.map(({ actor }) => actor))], ['test'], 'each event names who asked for the group');
  t.equal(worker.residency.commitsInProgress, 0);
});

t.test('a group gives back its slots while its shards wait for the seal', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '0' } });
  const group = admit(worker);
  for (const index of contents.keys()) {
    await receive(group, index);
    t.equal((await upload(worker, `between-${index}`, patternBytes(5000))).statusCode, 201);
  }
  await group.seal();
  t.same(await states(worker), Array(6).fill('sealed'));
});

t.test('a group is not sealed before all its shards are proven', async (t) => {
  const worker = await startWorker(t);
  const group = admit(worker);
  for (const index of [0, 1]) await receive(group, index);
  await t.rejects(group.seal(), { code: 'INTERNAL' });
  t.same(await states(worker), []);
});

t.test('a policy violation is recorded for the shard of the group that it is about', onSimulator, async (t) => {
  const { worker, log } = await startWithFiles(t);
  const group = admit(worker);
  await receive(group, 0);
  simulator.spoofs('is_managed=1');
  const violation = await receive(group, 1).catch((error: unknown) => error);
  simulator.spoofs('');
  t.match(violation, { code: 'POLICY_VIOLATION' });
  await group.abort(violation);
  // The log is in order, so that the entries of the group are in front of those of this commit.
  t.equal((await upload(worker, 'after', patternBytes(5000))).statusCode, 201);
  const critical = readChain(log).filter(({ severity }) => severity === 'critical');
  t.same(
    critical.map(({ event, shard_id }) => [event, shard_id]),
    [['PolicyViolation', 'm-1']],
  );
});
