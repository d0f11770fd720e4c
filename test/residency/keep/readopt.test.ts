import { readdirSync } from 'node:fs';
import t from 'tap';
import { KeeperServer } from '../../../src/keeper/keeper_server.js';
import { AttachClient } from '../../support/attach_client.js';
import { claimsOf, verifyHandle } from '../../support/handles.js';
import { keeperToken, libraryPath, memoryOf, rawClient, rawPut } from '../../support/keeper.js';
import { availableBytes, get, mebibyte, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { commit, contents, ready, untilLoaded } from '../restartable.js';
import { keepable, untilConnected } from './keepable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

t.test('an upload survives a stop: the next worker proves its memory and issues a new handle', async (t) => {
  const { start, keeper, events, socket, hashFiles } = await keepable(t);
  const { server } = await keeper();
  const first = await untilConnected(await start());
  const before = await availableBytes(first);
  const { handle } = (await upload(first, 'a', contents.a)).json();
  t.match(claimsOf(handle), { exportable: true, exported_at: /^20/ });
  t.match((await get(first, '/v1/shards/a')).json(), { kept: true });
  t.equal(server.allocationCount, 1);
  const exported = events('ShardExported', 'VramSealed').map(({ event }) => event);
  t.same(exported, ['ShardExported', 'VramSealed'], 'the entry precedes the handle');
  await first.stop();
  t.match(events('ShardLeft', 'VramDeallocated'), [{ event: 'ShardLeft', kept: true, shard_id: 'a' }]);

  const second = await start();
  await untilLoaded(second);
  const answer = await ready(second);
  t.match(answer, { ready: true, handles: [{ shard: { shard_id: 'a', kept: true, state: 'sealed' } }] });
  const [{ handle: readopted }] = answer.handles;
  const { jti, boot_id, iat: _, sealed_at: __, ...claims } = claimsOf(handle);
  t.match(claimsOf(readopted), { ...claims, prev: jti });
  t.not(claimsOf(readopted).boot_id, boot_id);
  t.match(await verifyHandle(second, readopted), { valid: true });
  t.match(await verifyHandle(second, handle), { reason: 'stale_boot' });
  t.match(events('ShardReadopted'), [{ shard_id: 'a', prev: jti }]);
  t.match((await get(second, '/metrics')).body, /vram_readopted_shards_total 1\n/);
  const client = await AttachClient.open(socket);
  const attached = await client.ask('attach', { shard_id: 'a' });
  t.equal(sha256(client.takeMemory().subarray(0, contents.a.length)), sha256(contents.a));
  t.equal((await client.ask('detach', { lease_id: attached.get('lease_id') ?? '' })).type, 'detached');
  client.close();
  t.equal(hashFiles().length, 1);

  t.equal((await remove(second, '/v1/shards/a')).statusCode, 204);
  t.equal(server.allocationCount, 0, 'a release takes the memory from the keeper');
  await until(() => hashFiles().length === 0);
  t.same(await availableBytes(second), before);
});

t.test('a shard from a file is not read again if its memory is kept', async (t) => {
  const { start, keeper, events } = await keepable(t);
  await keeper();
  const first = await untilConnected(await start());
  await commit(first, 'a', 'a', { gpu_device: 1 });
  await first.stop();
  const second = await start();
  await untilLoaded(second);
  t.match(await ready(second), { handles: [{ shard: { shard_id: 'a', gpu_device: 1, kept: true } }] });
  t.equal(events('VramAllocated').length, 1);
  t.equal((await commit(second, 'a', 'a', { gpu_device: 1 })).statusCode, 200, 'a client can repeat its commit');
});

t.test('without a keeper, shards are sealed and not kept; when it comes, it gets them with new handles', async (t) => {
  const { start, keeper, events } = await keepable(t);
  const first = await start();
  const { handle } = (await upload(first, 'a', contents.a)).json();
  t.match((await get(first, '/v1/shards/a')).json(), { state: 'sealed', kept: false, exported_at: null });
  await keeper();
  await until(async () => (await get(first, '/v1/shards/a')).json().kept, 'the keeper did not get it');
  const [{ handle: exported }] = (await ready(first)).handles;
  t.match(claimsOf(exported), { prev: claimsOf(handle).jti, exported_at: /^20/ });
  await first.stop();
  const second = await start();
  await untilLoaded(second);
  t.match(events('ShardReadopted'), [{ shard_id: 'a', prev: claimsOf(exported).jti }]);
});

t.test('memory that the keeper lost is read again from its file, or reported as lost', onSimulator, async (t) => {
  const { start, keeper, events, path } = await keepable(t);
  await keeper();
  const first = await untilConnected(await start());
  await commit(first, 'a', 'a');
  await upload(first, 'b', contents.b);
  await first.stop();
  const thief = await rawClient(path, { worker_id: 'worker-1' });
  t.equal((await thief.ask('drop')).type, 'dropped');
  thief.close();
  const second = await start();
  await untilLoaded(second);
  t.match(await ready(second), { handles: [{ shard: { shard_id: 'a', kept: true } }], lost: [{ shard_id: 'b' }] });
  t.same(
    events('ReadoptionFailed').map(({ shard_id }) => shard_id),
    ['a', 'b'],
  );
  t.match(events('ShardLost'), [{ shard_id: 'b', detail: /keeper did not return the memory/ }]);
});

t.test('memory that is not what the manifest says is refused, and dropped', onSimulator, async (t) => {
  const { start, keeper, events, path, listed } = await keepable(t);
  const { server } = await keeper();
  const first = await untilConnected(await start());
  await commit(first, 'a', 'a');
  await commit(first, 'b', 'b');
  await first.stop();
  const [a, b] = listed().map(({ memory }) => memory as { allocation_id: string; gpu_uuid: string });
  const thief = await rawClient(path, { worker_id: 'worker-1' });
  await thief.ask('drop', { allocation_id: a?.allocation_id ?? '' });
  await thief.ask('drop', { allocation_id: b?.allocation_id ?? '' });
  await rawPut(thief, memoryOf(a?.allocation_id ?? ''), 1);
  const layout = { bytes: contents.b.length, mappedBytes: 2 * mebibyte, partBytes: 1664 * mebibyte };
  const fake = { allocationId: b?.allocation_id ?? '', gpuUuid: b?.gpu_uuid ?? '', layout };
  await rawPut(thief, fake, 1);
  // Memory of no shard.
  await rawPut(thief, memoryOf('0-1'), 1);
  thief.close();
  t.equal(server.allocationCount, 3);
  const second = await start({ residency: { restoreRetryMs: 10 } });
  await untilLoaded(second);
  t.match(await ready(second), { ready: true, handles: [{ shard: { shard_id: 'a' } }, { shard: { shard_id: 'b' } }] });
  t.match(
    events('ReadoptionFailed').sort((one, two) => one.shard_id.localeCompare(two.shard_id)),
    [
      { shard_id: 'a', severity: 'critical', detail: /another length/ },
      { shard_id: 'b', severity: 'critical' },
    ],
  );
  await until(() => events('KeptMemoryDropped').length === 1);
  t.match(events('KeptMemoryDropped'), [{ allocation_id: '0-1' }]);
  t.equal(server.allocationCount, 2, 'only the memory that was read again is kept');
});

t.test('clients cannot take the memory or the id of a shard that is being proven', onSimulator, async (t) => {
  const { start, keeper } = await keepable(t);
  await keeper();
  const first = await untilConnected(await start());
  await upload(first, 'a', Buffer.alloc(40 * mebibyte, 1), { gpu_device: '0' });
  await first.stop();
  simulator.latencyUs(50_000);
  const second = await start();
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  t.match(await ready(second), { state: 'loading', reasons: [{ code: 'LOADING', detail: /0 of 1/ }, {}] });
  t.match((await upload(second, 'a', contents.a)).json(), { code: 'SHARD_BUSY' });
  t.match((await remove(second, '/v1/shards/a')).json(), { code: 'SHARD_BUSY' });
  const other = await upload(second, 'b', Buffer.alloc(40 * mebibyte), { gpu_device: '0' });
  t.match(other.json(), { code: 'VRAM_OOM' });
  simulator.latencyUs(0);
  await untilLoaded(second);
  t.match(await ready(second), { ready: true });
});

t.test('a worker that stops while it proves memory leaves it to the next one', onSimulator, async (t) => {
  const { start, keeper, manifest } = await keepable(t);
  const { server } = await keeper();
  const first = await untilConnected(await start());
  await upload(first, 'a', contents.a);
  await first.stop();
  simulator.latencyUs(50_000);
  const second = await start();
  const stopping = second.stop();
  simulator.latencyUs(0);
  await stopping;
  t.equal(server.allocationCount, 1);
  const third = await start();
  await untilLoaded(third);
  t.match(await ready(third), { ready: true, handles: [{ shard: { shard_id: 'a' } }] });
  t.equal(readdirSync(`${manifest}.hashes`).length, 1);
});

t.test('a restarted keeper gets the memory again', async (t) => {
  const { start, keeper, path } = await keepable(t);
  const token = Buffer.from(keeperToken);
  const limits = { maxDescriptors: 100, holdSeconds: 3600 };
  const one = await KeeperServer.open({ path, token, libraryPath, ...limits, log: () => undefined });
  const first = await untilConnected(await start());
  await upload(first, 'a', contents.a);
  const isKept = async () => (await get(first, '/v1/shards/a')).json().kept;
  await one.close();
  await until(async () => !(await isKept()), 'the worker did not lose the keeper');
  await keeper();
  await until(isKept, 'the keeper did not get it');
  await first.stop();
  const second = await start();
  await untilLoaded(second);
  t.match(await ready(second), { ready: true, handles: [{ shard: { shard_id: 'a', kept: true } }] });
});
