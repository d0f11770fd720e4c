import { closeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { SocketFile } from '../../src/ipc/socket_file.js';
import { fileMemory, keeperClient, openMemory, rawClient, startKeeper } from '../support/keeper.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

t.test('a worker hands memory over, and its next process takes it back', async (t) => {
  const { server, path } = await startKeeper(t);
  const before = openMemory();
  const worker = keeperClient(t, path);
  t.equal(worker.custody('a1'), 'absent');
  await worker.keep(fileMemory('a1', 3));
  t.equal(worker.custody('a1'), 'kept');
  t.match(await worker.list(), [{ workerId: 'w', allocationId: 'a1', unclaimedSeconds: null }]);
  worker.close();
  await until(async () => {
    const [entry] = await keeperClientList(path);
    return entry?.endsWith(' 0') === true;
  }, 'the claim did not end');

  const next = keeperClient(t, path);
  const memory = await next.take('a1');
  t.match(memory, { allocationId: 'a1', gpuUuid: 'GPU-0', layout: { partBytes: 1024 ** 2 } });
  t.equal(memory?.descriptors.length, 3);
  for (const descriptor of memory?.descriptors ?? []) closeSync(descriptor);
  t.equal(next.custody('a1'), 'kept');
  t.equal(await next.take('a2'), undefined);
  await next.keep(fileMemory('a1', 3));
  await next.drop('a1');
  t.equal(next.custody('a1'), 'absent');
  t.equal(server.allocationCount, 0);
  await next.drop('a1');
  next.close();
  t.equal(openMemory(), before);
});

async function keeperClientList(path: string): Promise<string[]> {
  const operator = await rawClient(path, { worker_id: null });
  const lines = (await operator.ask('list')).all('allocation');
  operator.close();
  return lines;
}

t.test('memory that the keeper has is claimed, not handed over again', async (t) => {
  const { path } = await startKeeper(t);
  const memory = fileMemory('a1');
  const worker = keeperClient(t, path);
  await Promise.all([worker.keep(memory), worker.keep(memory)]);
  await worker.keep(memory);
  t.equal(memory.sent.count, 1);
});

t.test('a restarted keeper gets all memory again', async (t) => {
  const path = join(temporaryDirectory(t), 'keeper.sock');
  const first = await startKeeper(t, { path });
  const worker = keeperClient(t, path);
  const memories = ['a1', 'a2', 'a3'].map((id) => fileMemory(id, 2));
  for (const memory of memories) await worker.keep(memory);
  await first.server.close();
  await until(() => worker.custody('a1') === 'unknown', 'the worker did not notice');
  const second = await startKeeper(t, { path });
  await until(() => second.server.descriptorCount === 6, 'the memory was not handed over again');
  await until(() => memories.every(({ allocationId }) => worker.custody(allocationId) === 'kept'), 'not kept');
  t.equal(worker.logged.filter((message) => message === 'the keeper is connected').length, 2);
  t.equal(worker.logged.filter((message) => message === 'the connection to the keeper has ended').length, 1);
});

t.test('without a keeper, each operation ends by its deadline', async (t) => {
  const path = join(temporaryDirectory(t), 'keeper.sock');
  const worker = keeperClient(t, path, { waitMs: 100 });
  const unavailable = { code: 'KEEPER_UNAVAILABLE' };
  await t.rejects(worker.connected(), { ...unavailable, message: /cannot be reached \(ENOENT\)/ });
  const memory = fileMemory('a1');
  await t.rejects(worker.keep(memory), unavailable);
  await t.rejects(worker.take('a1'), unavailable);
  await t.rejects(worker.list(), unavailable);
  await t.rejects(worker.drop('a2'), unavailable, 'an earlier process may have given it to the keeper');
  await t.resolves(worker.drop('a1'), 'it was never sent');
  t.equal(worker.custody('a1'), 'absent');
  t.equal(memory.sent.count, 0);
});

t.test('a keeper that is away is waited for once, not by each of many operations', async (t) => {
  const path = join(temporaryDirectory(t), 'keeper.sock');
  const worker = keeperClient(t, path, { waitMs: 600 });
  const startMs = performance.now();
  for (let count = 0; count < 50; count++) await t.rejects(worker.take('a1'), { code: 'KEEPER_UNAVAILABLE' });
  t.ok(performance.now() - startMs < 50 * 600, 'far less than fifty times the wait');
  await startKeeper(t, { path });
  await t.resolves(worker.connected(10_000));
  t.equal(await worker.take('a1'), undefined);
});

t.test('a keeper that does not answer ends no operation late, and is not trusted to have dropped memory', async (t) => {
  // A socket that accepts no connection: the kernel queues the greeting.
  const path = join(temporaryDirectory(t), 'keeper.sock');
  const file = await SocketFile.create({ path, setting: 'test' });
  const worker = keeperClient(t, path, { waitMs: 200 });
  await t.rejects(worker.keep(fileMemory('a1')), { code: 'KEEPER_UNAVAILABLE' });
  await t.rejects(worker.drop('a2'), { code: 'KEEPER_UNAVAILABLE' });
  worker.close();
  await file.remove();
});

t.test('a token that the keeper refuses is an error of the worker', async (t) => {
  const { server, path } = await startKeeper(t);
  const worker = keeperClient(t, path, { token: 'x'.repeat(32), waitMs: 200 });
  await until(() => worker.logged.includes('the keeper is not connected'));
  await t.rejects(worker.keep(fileMemory('a1')), { code: 'AUTH_FAILED' });
  server.replaceToken(Buffer.from('x'.repeat(32)));
  await until(() => worker.custody('a1') === 'kept', 'the worker does not try again');
});

t.test('memory that the keeper has no room for is an error, and is offered again', async (t) => {
  const { path } = await startKeeper(t, { maxDescriptors: 2 });
  const worker = keeperClient(t, path);
  await worker.keep(fileMemory('a1', 2));
  await t.rejects(worker.keep(fileMemory('a2')), { code: 'KEEPER_FULL' });
  t.equal(worker.custody('a2'), 'absent');
  await worker.drop('a1');
  await worker.keep(fileMemory('a2'));
  t.equal(worker.custody('a2'), 'kept');
});

t.test('memory that cannot be exported is an error, and the connection stays', async (t) => {
  const { path } = await startKeeper(t);
  const worker = keeperClient(t, path);
  const memory = fileMemory('a1');
  const failing = { ...memory, allocation: { handOver: () => Promise.reject(new Error('no export')) } };
  await t.rejects(worker.keep(failing), { message: 'no export' });
  t.equal(worker.custody('a1'), 'absent');
  await worker.keep(memory);
  t.equal(worker.custody('a1'), 'kept');
});

t.test('memory that an operator drops is not kept, and not offered again', async (t) => {
  const { server, path } = await startKeeper(t);
  const worker = keeperClient(t, path);
  await worker.keep(fileMemory('a1'));
  const operator = await rawClient(path, { worker_id: null });
  await operator.ask('drop');
  await until(() => worker.custody('a1') === 'absent', 'the worker did not notice');
  operator.close();
  t.equal(server.allocationCount, 0);
});
