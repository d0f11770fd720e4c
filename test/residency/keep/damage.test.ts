import { rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { AttachClient } from '../../support/attach_client.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, mebibyte, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import type { TestWorker } from '../../support/worker.js';
import { commit, ready, untilLoaded } from '../restartable.js';
import { keepable, untilConnected } from './keepable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

const bytes = patternBytes(3 * mebibyte);

/** A worker with the shard `a`, which this process has attached. `alter` writes to its memory. */
async function attached(t: import('tap').Test, from: 'file' | 'upload') {
  const all = await keepable(t);
  const { server } = await all.keeper();
  writeFileSync(join(all.models, 'large'), bytes);
  const first = await untilConnected(await all.start({ env: { WORKER_VERIFY_AFTER_LEASE: 'off' } }));
  const before = await availableBytes(first);
  if (from === 'file') await commit(first, 'a', 'large');
  else await upload(first, 'a', bytes);
  const client = await AttachClient.open(all.socket);
  const answer = await client.ask('attach', { shard_id: 'a' });
  t.teardown(() => client.close());
  const lease = { lease_id: answer.get('lease_id') ?? '', allocation_id: answer.get('allocation_id') ?? '' };
  const alter = (offset: number) => writeSync(client.descriptors[0] ?? -1, Buffer.from([0xff]), 0, 1, offset);
  return { ...all, server, first, before, client, lease, alter };
}

/** A restart. The lease of this process ends first, unless it is kept. */
async function restarted(t: import('tap').Test, { first, start }: Awaited<ReturnType<typeof attached>>) {
  await first.stop();
  const second = await start();
  t.match((await get(second, '/v1/leases')).json(), { leases: [{ shard_id: 'a', state: 'orphaned' }] });
  await untilLoaded(second);
  return second;
}

const resume = async (worker: { socket: string; lease: { lease_id: string; allocation_id: string } }) => {
  const client = await AttachClient.open(worker.socket);
  return { client, answer: await client.ask('resume', worker.lease) };
};

t.test('memory that changed while no worker ran is located, and repaired in place', onSimulator, async (t) => {
  const scene = await attached(t, 'file');
  scene.alter(600_000);
  scene.alter(2_000_000);
  const second = await restarted(t, scene);
  t.match(await ready(second), { ready: true, handles: [{ shard: { state: 'sealed', kept: true, leases: 1 } }] });
  t.equal(sha256(scene.client.takeMemory().subarray(0, bytes.length)), sha256(bytes), 'the process reads intact bytes');
  t.match(scene.events('SealVerificationFailed', 'RepairStarted', 'ShardReadopted', 'ReadoptionFailed'), [
    {
      event: 'SealVerificationFailed',
      corrupt_ranges: [
        { offset: 524_288, length: 524_288 },
        { offset: 1_572_864, length: 524_288 },
      ],
      candidates: [{ lease_id: scene.lease.lease_id, peer: { pid: process.pid } }],
    },
    { event: 'RepairStarted' },
    { event: 'ShardReadopted', shard_id: 'a' },
  ]);
  t.equal(scene.events('VramAllocated').length, 1, 'it was not loaded again');
  const { client, answer } = await resume(scene);
  t.match([answer.type, answer.get('code')], ['resumed', undefined]);
  await released(second, client, scene);
});

t.test(
  'an upload that changed while no worker ran is lost, and freed when its processes have ended',
  onSimulator,
  async (t) => {
    const scene = await attached(t, 'upload');
    scene.alter(600_000);
    const second = await restarted(t, scene);
    t.match(await ready(second), { ready: false, lost: [{ shard_id: 'a', detail: /no source to repair it from/ }] });
    t.match(scene.events('ReadoptionFailed', 'ShardLost'), [
      { event: 'ReadoptionFailed', severity: 'critical' },
      { event: 'ShardLost' },
    ]);
    t.equal(scene.server.allocationCount, 0);
    t.match((await get(second, '/v1/shards/a')).json(), { state: 'releasing' });
    const { client, answer } = await resume(scene);
    t.match([answer.get('code'), answer.get('retriable')], ['SHARD_BUSY', 'false']);
    client.close();
    t.equal((await remove(second, `/v1/leases/${scene.lease.lease_id}`)).statusCode, 200);
    await second.stop();
  },
);

for (const damage of ['missing', 'altered'] as const) {
  t.test(`damage that ${damage} group hashes cannot locate: the shard is read again`, onSimulator, async (t) => {
    const scene = await attached(t, 'file');
    scene.alter(600_000);
    await scene.client.ask('detach', { lease_id: scene.lease.lease_id });
    await scene.first.stop();
    const [file = ''] = scene.hashFiles();
    if (damage === 'missing') rmSync(file);
    else writeFileSync(file, Buffer.alloc(6 * 32));
    const second = await scene.start();
    await untilLoaded(second);
    t.match(await ready(second), { ready: true, handles: [{ shard: { state: 'sealed', kept: true } }] });
    t.match(scene.events('ReadoptionFailed'), [{ detail: /cannot be located/ }]);
    t.match(scene.events('VramDeallocated'), [{ reason: 'not_readopted' }], 'the memory was wiped');
    t.equal(scene.server.allocationCount, 1);
    await until(() => scene.hashFiles().length === 1);
    t.not(scene.hashFiles()[0], file);
  });
}

t.test('intact memory needs no file of group hashes, and gets one', onSimulator, async (t) => {
  const scene = await attached(t, 'upload');
  await scene.first.stop();
  const [file = ''] = scene.hashFiles();
  rmSync(file);
  const second = await scene.start();
  await untilLoaded(second);
  t.match(await ready(second), { ready: true });
  t.same(scene.hashFiles(), [file]);
});

t.test('without its file, damaged memory is lost', onSimulator, async (t) => {
  const scene = await attached(t, 'file');
  scene.alter(600_000);
  await scene.client.ask('detach', { lease_id: scene.lease.lease_id });
  await scene.first.stop();
  rmSync(join(scene.models, 'large'));
  const second = await scene.start({ residency: { restoreRetryMs: 10 } });
  await untilLoaded(second);
  t.match(await ready(second), { ready: false, lost: [{ shard_id: 'a' }] });
  t.equal(scene.server.allocationCount, 0);
  await until(async () => (await availableBytes(second))[0] === scene.before[0]);
});

async function released(worker: TestWorker, client: AttachClient, scene: Awaited<ReturnType<typeof attached>>) {
  t.equal((await client.ask('detach', { lease_id: scene.lease.lease_id })).type, 'detached');
  client.close();
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), scene.before);
}
