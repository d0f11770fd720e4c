import { closeSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { encodeMemory } from '../../src/keeper/messages.js';
import { connectTo } from '../../src/vram/unix_socket.js';
import { AttachClient } from '../support/attach_client.js';
import { Clocks } from '../support/clock.js';
import { keeperToken, memoryOf, openMemory, rawClient, rawPut, startKeeper, withFiles } from '../support/keeper.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

t.test('memory is put, claimed, got with its sizes, listed and dropped', async (t) => {
  const { server, path } = await startKeeper(t);
  const before = openMemory();
  const worker = await rawClient(path);
  t.match(await rawPut(worker, memoryOf('a1', 3), 3), { type: 'kept' });
  t.equal(openMemory(), before + 3);
  t.match(await worker.ask('claim', { allocation_id: 'a1' }), { type: 'claimed' });
  const held = await worker.ask('get', { allocation_id: 'a1' });
  t.equal(held.type, 'held');
  t.equal(held.get('gpu_uuid'), 'GPU-0');
  t.equal(held.get('mapped_bytes'), String(3 * 1024 ** 2));
  t.equal(worker.descriptors.length, 3);
  t.same((await worker.ask('list')).all('allocation'), ['w/a1 GPU-0 3145728 3145728 1048576 ']);
  t.equal((await worker.ask('drop', { allocation_id: 'a1' })).get('count'), '1');
  t.equal((await worker.ask('drop', { allocation_id: 'a1' })).get('count'), '0', 'a drop can be repeated');
  t.match((await worker.ask('get', { allocation_id: 'a1' })).get('code'), 'NOT_FOUND');
  worker.close();
  t.same([server.allocationCount, server.descriptorCount], [0, 0]);
  t.equal(openMemory(), before);
});

t.test('a put is all parts or nothing, and what is refused is closed', async (t) => {
  const { server, path } = await startKeeper(t, { maxDescriptors: 4 });
  const before = openMemory();
  const worker = await rawClient(path);
  const refused = async (files: number, parts: number, code: string, id = 'a1') => {
    const answer = await rawPut(worker, memoryOf(id, parts), files);
    t.equal(answer.get('code'), code, `${files} descriptors for ${parts} parts`);
  };
  await refused(1, 2, 'INVALID_PARAMS');
  await refused(3, 2, 'INVALID_PARAMS');
  await refused(0, 1, 'INVALID_PARAMS');
  await refused(5, 5, 'KEEPER_FULL');
  t.match(await rawPut(worker, memoryOf('a1', 2), 2), { type: 'kept' });
  await refused(2, 2, 'SHARD_CONFLICT');
  await refused(3, 3, 'KEEPER_FULL', 'a2');
  t.equal(openMemory(), before + 2);
  t.equal(server.descriptorCount, 2);
  t.match(await rawPut(worker, memoryOf('a2', 2), 2), { type: 'kept' }, 'the session and the room remain');
  worker.close();
});

t.test('an invalid put is refused, and closes its descriptors', async (t) => {
  const { server, path } = await startKeeper(t);
  const before = openMemory();
  const worker = await rawClient(path);
  const valid = { allocation_id: 'a1', gpu_uuid: 'GPU-0', vram_bytes: 1, mapped_bytes: 2, part_bytes: 2 };
  const cases = [
    { ...valid, allocation_id: '../a' },
    { ...valid, allocation_id: 'a'.repeat(65) },
    { ...valid, gpu_uuid: 'x y' },
    { ...valid, vram_bytes: 0 },
    { ...valid, vram_bytes: 3 },
    { ...valid, mapped_bytes: 129, part_bytes: 2 },
    { ...valid, mapped_bytes: 2 ** 60 },
    { ...valid, part_bytes: null },
    { ...valid, worker_id: 'other' },
  ];
  for (const fields of cases) {
    withFiles(1, (files) => worker.sendWith('put', { id: 1, ...fields }, files));
    t.equal((await worker.next()).get('code'), 'INVALID_PARAMS', JSON.stringify(fields));
  }
  withFiles(1, (files) => worker.sendWith('list', { id: 1 }, files));
  t.equal((await worker.next()).get('code'), 'INVALID_PARAMS', 'descriptors with another request');
  t.equal(openMemory(), before);
  t.equal(server.allocationCount, 0);
  worker.close();
});

t.test('a socket is not memory: it could keep its own connection open', async (t) => {
  const { path } = await startKeeper(t);
  const worker = await rawClient(path);
  const listener = createServer((connection) => connection.destroy()).listen(join(temporaryDirectory(t), 's.sock'));
  await new Promise((resolve) => listener.once('listening', resolve));
  const other = connectTo(listener.address() as string);
  worker.raw(encodeMemory('put', 1, memoryOf('a1')), [other]);
  t.match((await worker.next()).get('detail'), /socket/);
  worker.close();
  closeSync(other);
  listener.close();
});

t.test('workers have only their own memory, and a process without a worker id only lists and drops', async (t) => {
  const { path } = await startKeeper(t);
  const [one, two] = [await rawClient(path), await rawClient(path, { worker_id: 'other' })];
  const operator = await rawClient(path, { worker_id: null });
  await rawPut(one, memoryOf('a1'), 1);
  t.equal((await two.ask('get', { allocation_id: 'a1' })).get('code'), 'NOT_FOUND');
  t.equal((await two.ask('claim', { allocation_id: 'a1' })).get('code'), 'NOT_FOUND');
  t.equal((await two.ask('drop')).get('count'), '0');
  for (const type of ['get', 'claim']) {
    t.equal((await operator.ask(type, { allocation_id: 'a1' })).get('code'), 'INVALID_PARAMS', type);
  }
  t.equal((await rawPut(operator, memoryOf('a9'), 1)).get('code'), 'INVALID_PARAMS');
  t.equal((await operator.ask('list')).all('allocation').length, 1);
  t.equal((await operator.ask('drop', { allocation_id: 'a1' })).get('count'), '1');
  const event = await one.next();
  t.same([event.get('event'), event.get('allocation_id')], ['dropped', 'a1'], 'the worker learns of it');
  for (const client of [one, two, operator]) client.close();
});

t.test('memory is claimed by connections, and dropped when no one has claimed it for the hold time', async (t) => {
  const { server, path, logged } = await startKeeper(t, { holdSeconds: 1 });
  const before = openMemory();
  const worker = await rawClient(path);
  await rawPut(worker, memoryOf('a1'), 1);
  await rawPut(worker, memoryOf('a2'), 1);
  worker.close();
  const next = await rawClient(path);
  t.equal((await next.ask('claim', { allocation_id: 'a1' })).type, 'claimed');
  await until(() => server.allocationCount === 1, 'a2 was not dropped');
  t.match(logged.join('\n'), /no worker claimed it .*"allocation_id":"a2"/);
  t.same((await next.ask('list')).all('allocation').length, 1, 'a claim has no end while its connection is open');
  t.equal(openMemory(), before + 1);
  next.close();
  await until(() => server.allocationCount === 0, 'a1 was not dropped');
  t.equal(openMemory(), before);
});

t.test('the token is checked, and invalid ones are limited', async (t) => {
  // All of them are in one second, however slow the machine is.
  Clocks.take(t);
  const { path } = await startKeeper(t);
  const greet = async (fields: Readonly<Record<string, string>>) => {
    const client = new AttachClient(path);
    client.send('hello', { version: 1, client: 'test', ...fields });
    const [answer] = await client.ended();
    client.close();
    return answer?.get('code');
  };
  t.equal(await greet({}), 'AUTH_FAILED');
  t.equal(await greet({ token: 'wrong' }), 'AUTH_FAILED');
  t.equal(await greet({ token: keeperToken, worker_id: 'a/b' }), 'INVALID_PARAMS');
  const codes = [];
  for (let n = 0; n < 12; n++) codes.push(await greet({ token: 'wrong' }));
  t.ok(codes.includes('RATE_LIMITED'));
});

t.test(
  'descriptors before the greeting, or with two parts of the stream, end the session and are closed',
  async (t) => {
    const { path } = await startKeeper(t);
    const before = openMemory();
    const early = new AttachClient(path);
    withFiles(2, (files) => early.sendWith('hello', { version: 1, client: 'test', token: keeperToken }, files));
    t.match((await early.ended()).at(-1)?.get('detail'), /must not send descriptors/);
    const twice = await rawClient(path);
    const frame = encodeMemory('put', 1, memoryOf('a1', 2));
    withFiles(1, (files) => twice.raw(frame.subarray(0, 10), files));
    withFiles(1, (files) => twice.raw(frame.subarray(10), files));
    t.match((await twice.ended()).at(-1)?.get('detail'), /must not send descriptors/);
    const many = await rawClient(path);
    withFiles(65, (files) => many.raw(frame, files));
    t.match((await many.ended()).at(-1)?.get('detail'), /did not arrive/);
    const unfinished = await rawClient(path);
    withFiles(2, (files) => unfinished.raw(frame.subarray(0, 10), files));
    unfinished.close();
    await until(() => openMemory() === before, 'descriptors are open');
    for (const client of [early, twice, many]) client.close();
  },
);

t.test('a new connection of a process ends its earlier one, whatever that one has sent', async (t) => {
  const { server, path } = await startKeeper(t);
  const before = openMemory();
  const boot = { boot_id: 'b1' };
  const first = await rawClient(path, boot);
  await rawPut(first, memoryOf('a1'), 1);
  // The keeper of this process cannot read this before the greeting, because both run in one turn of the event loop.
  withFiles(1, (files) => first.raw(encodeMemory('put', 2, memoryOf('a2')), files));
  const second = await rawClient(path, boot);
  await first.ended();
  t.ok(server.allocationCount <= 2);
  const other = await rawClient(path, { boot_id: 'b2' });
  t.equal((await second.ask('claim', { allocation_id: 'a1' })).type, 'claimed');
  t.equal((await other.ask('list')).type, 'allocations', 'another process is not affected');
  second.close();
  other.close();
  first.close();
  t.ok(openMemory() >= before);
});

t.test('connections are limited, and a closed one makes room', async (t) => {
  const { path } = await startKeeper(t);
  const clients = [];
  for (let n = 0; n < 32; n++) clients.push(await rawClient(path));
  const refused = new AttachClient(path);
  t.equal((await refused.ended())[0]?.get('code'), 'RATE_LIMITED');
  refused.close();
  clients.pop()?.close();
  await t.resolves(
    (async () => {
      for (;;) {
        const client = await rawClient(path).catch(() => undefined);
        if (client !== undefined) return clients.push(client);
      }
    })(),
  );
  for (const client of clients) client.close();
});

t.test('the end of the keeper closes all memory and removes the socket', async (t) => {
  const path = join(temporaryDirectory(t), 'keeper.sock');
  const before = openMemory();
  const { server } = await startKeeper(t, { path });
  const worker = await rawClient(path);
  await rawPut(worker, memoryOf('a1', 2), 2);
  await t.rejects(startKeeper(t, { path }), { name: 'FileInUseError', message: /in use by another process/ });
  await server.close();
  await worker.ended();
  worker.close();
  t.equal(openMemory(), before);
  t.throws(() => openSync(path, 'r'), { code: 'ENOENT' });
  writeFileSync(path, '');
  await t.rejects(startKeeper(t, { path }), { message: /is not a socket/ });
});
