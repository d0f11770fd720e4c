import t from 'tap';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { shardsListedIn } from '../../support/manifest.js';
import { sha256, upload } from '../../support/requests.js';
import { admit, contents, receive, startWithFiles, states } from '../../support/shard_groups.js';
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
