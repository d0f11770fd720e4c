import { randomInt } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import t, { type Test } from 'tap';
import { encodeFrame } from '../../src/ipc/frame.js';
import { encodeMemory } from '../../src/keeper/messages.js';
import { DescriptorLibrary } from '../../src/vram/descriptor_library.js';
import { DescriptorSocket } from '../../src/vram/descriptor_socket.js';
import { UnixListener } from '../../src/vram/unix_socket.js';
import { AttachClient } from '../support/attach_client.js';
import {
  fileMemory,
  keeperClient,
  keeperToken,
  libraryPath,
  memoryOf,
  openMemory,
  rawClient,
  rawPut,
  startKeeper,
  withFiles,
} from '../support/keeper.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

t.test('random bytes and descriptors neither stop the keeper nor leave anything open', async (t) => {
  const { server, path } = await startKeeper(t);
  const before = openDescriptors();
  const hello = encodeFrame('hello', { version: 1, client: 'test', token: keeperToken, worker_id: 'w' });
  const put = encodeMemory('put', 1, memoryOf('a1', 2));
  const valid = Buffer.concat([
    hello,
    put,
    encodeFrame('get', { id: 2, allocation_id: 'a1' }),
    encodeFrame('drop', { id: 3 }),
  ]);
  const change = fc.record({ at: fc.nat(valid.length - 1), bytes: fc.uint8Array({ maxLength: 8 }), cut: fc.nat(8) });
  const piece = fc.record({ length: fc.integer({ min: 1, max: 300 }), files: fc.constantFrom(0, 0, 0, 1, 2, 3, 65) });
  const property = fc.asyncProperty(
    fc.array(change, { maxLength: 2 }),
    fc.array(piece, { minLength: 1, maxLength: 6 }),
    async (changes, pieces) => {
      let bytes = valid;
      for (const { at, bytes: inserted, cut } of changes) {
        bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + cut)]);
      }
      const client = new AttachClient(path);
      let at = 0;
      for (const { length, files } of [...pieces, { length: bytes.length, files: 0 }]) {
        const slice = bytes.subarray(at, at + length);
        at += length;
        if (slice.length > 0) withFiles(files, (descriptors) => sendIfOpen(client, slice, descriptors));
        if (files > 0) await sleep(1);
      }
      await sleep(1);
      client.close();
    },
  );
  await fc.assert(property, { numRuns: scale(200, 20_000) });
  const operator = await rawClient(path, { worker_id: null });
  t.equal((await operator.ask('drop')).type, 'dropped');
  operator.close();
  await until(() => newDescriptors(before).length === 0, 'a descriptor is left open');
  t.equal(server.descriptorCount, 0);
});

function sendIfOpen(client: AttachClient, bytes: Uint8Array, descriptors: readonly number[]): void {
  try {
    client.raw(bytes, descriptors);
  } catch {
    // The keeper has closed the connection.
  }
}

t.test('in random histories the keeper holds exactly what a model holds', async (t) => {
  const histories = scale(20, 2000);
  for (let history = 0; history < histories; history++) await playHistory(t);
});

async function playHistory(t: Test): Promise<void> {
  const maxDescriptors = 12;
  const { server, path } = await startKeeper(t, { maxDescriptors });
  const before = openMemory();
  const model = new Map<string, number>();
  const used = () => [...model.values()].reduce((sum, parts) => sum + parts, 0);
  const workers = ['w0', 'w1'];
  const clients = await Promise.all(workers.map((worker_id) => rawClient(path, { worker_id })));
  for (let step = 0; step < 40; step++) {
    const index = randomInt(workers.length);
    const [worker, client] = [workers[index] ?? '', clients[index]];
    if (client === undefined) continue;
    const allocation_id = `a${randomInt(4)}`;
    const name = `${worker}/${allocation_id}`;
    const [kind, parts] = [randomInt(6), 1 + randomInt(4)];
    if (kind <= 1) {
      const files = randomInt(8) === 0 ? parts + 1 : parts;
      const answer = await rawPut(client, memoryOf(allocation_id, parts), files);
      const isTaken = files === parts && !model.has(name) && used() + parts <= maxDescriptors;
      t.equal(answer.type === 'kept', isTaken, `put ${name}`);
      if (isTaken) model.set(name, parts);
    } else if (kind === 2) {
      const answer = await client.ask('get', { allocation_id });
      t.equal(client.takeDescriptors(), answer.type === 'held' ? model.get(name) : 0, `get ${name}`);
      t.equal(answer.type === 'held', model.has(name));
    } else if (kind === 3) {
      const count = Number((await client.ask('drop', { allocation_id })).get('count'));
      t.equal(count, model.delete(name) ? 1 : 0, `drop ${name}`);
    } else if (kind === 4) {
      const listed = (await client.ask('list')).all('allocation').map((line) => line.split(' ')[0]);
      t.same(listed, [...model.keys()].sort());
    } else {
      client.close();
      clients[index] = await rawClient(path, { worker_id: worker });
    }
    t.equal(server.descriptorCount, used());
  }
  t.equal(openMemory(), before + used());
  for (const client of clients) client?.close();
  await server.close();
  t.equal(openMemory(), before);
}

/** A program at the keeper's socket that answers each read by `answer`, and then perhaps closes the connection. */
function fakeKeeper(t: Test, answer: (socket: DescriptorSocket, count: number) => 'open' | 'close'): string {
  const path = join(temporaryDirectory(t), 'keeper.sock');
  const listener = UnixListener.bind(path);
  const library = new DescriptorLibrary(libraryPath);
  const sockets = new Map<DescriptorSocket, number>();
  const timer = setInterval(() => {
    for (let descriptor = listener.accept(); descriptor !== undefined; descriptor = listener.accept()) {
      sockets.set(new DescriptorSocket(library, descriptor), 0);
      closeSync(descriptor);
    }
    for (const [socket, count] of sockets) {
      if (turn(socket, count) === 'close') {
        sockets.delete(socket);
        socket.close();
      }
    }
  }, 1);
  const turn = (socket: DescriptorSocket, count: number): 'open' | 'close' => {
    try {
      const received = socket.receive(65_536, 64);
      if (received === undefined) return 'open';
      for (const descriptor of received.descriptors) closeSync(descriptor);
      sockets.set(socket, count + 1);
      return answer(socket, count);
    } catch {
      return 'close';
    }
  };
  t.teardown(() => {
    clearInterval(timer);
    for (const socket of sockets.keys()) socket.close();
    listener.close();
  });
  return path;
}

const welcome = encodeFrame('welcome', { version: 1, keeper_id: 'k1' });
const held = encodeMemory('held', 1, memoryOf('a1', 2));

/** What a faulty keeper sends instead of two parts of memory. */
const faults: Readonly<Record<string, (socket: DescriptorSocket, files: readonly number[]) => void>> = {
  'too few descriptors': (socket, [first = 0]) => void socket.send(held, [first]),
  'too many descriptors': (socket, files) => void socket.send(held, [...files, ...files]),
  'more descriptors than a shard has parts': (socket, [first = 0]) => void socket.send(held, Array(80).fill(first)),
  'no descriptors': (socket) => void socket.send(held),
  'memory of another name': (socket, files) => void socket.send(encodeMemory('held', 1, memoryOf('a2', 2)), files),
  'an answer to another request': (socket, files) =>
    void socket.send(encodeMemory('held', 9, memoryOf('a1', 2)), files),
  'descriptors twice': (socket, files) => {
    socket.send(held.subarray(0, 9), files);
    socket.send(held.subarray(9), files);
  },
  'half a frame': (socket, files) => void socket.send(held.subarray(0, 20), files),
  'an empty frame': (socket, files) => void socket.send(Buffer.alloc(4), files),
  'a frame of 4 GiB': (socket, files) => void socket.send(Buffer.alloc(4, 0xff), files),
  'sizes that do not fit': (socket, files) =>
    void socket.send(
      encodeFrame('held', { id: 1, allocation_id: 'a1', gpu_uuid: 'G', vram_bytes: 9, mapped_bytes: 1, part_bytes: 1 }),
      files,
    ),
  'nothing but events': (socket) =>
    void socket.send(Buffer.concat(Array(500).fill(encodeFrame('event', { event: 'dropped', allocation_id: 'a1' })))),
};

for (const [fault, send] of Object.entries(faults)) {
  t.test(`a keeper that answers with ${fault} is not trusted, and leaves no descriptor in the worker`, async (t) => {
    const before = openMemory();
    const files = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')];
    const path = fakeKeeper(t, (socket, count) => {
      if (count === 0) socket.send(welcome);
      else send(socket, files);
      return 'open';
    });
    const worker = keeperClient(t, path, { waitMs: 300 });
    await worker.connected(60_000);
    await t.rejects(worker.take('a1'), { name: 'WorkerError' });
    t.equal(worker.custody('a1'), 'absent');
    worker.close();
    for (const file of files) closeSync(file);
    await until(() => openMemory() === before, 'a descriptor is left open');
  });
}

t.test('a keeper that ends the connection at each point is an error by a deadline', async (t) => {
  for (const point of [0, 1, 2]) {
    const path = fakeKeeper(t, (socket, count) => {
      if (count === point) return 'close';
      const answers = [welcome, encodeFrame('error', { id: 1, code: 'NOT_FOUND', detail: 'x', retriable: false })];
      socket.send(answers[count] ?? Buffer.alloc(0));
      return 'open';
    });
    const worker = keeperClient(t, path, { waitMs: 300 });
    await t.rejects(worker.keep(fileMemory('a1')), { code: 'KEEPER_UNAVAILABLE' }, `after ${point} answers`);
    t.not(worker.custody('a1'), 'kept');
    worker.close();
  }
});

t.test('ten thousand requests at once are answered in order, and delay no other worker', async (t) => {
  const { path } = await startKeeper(t);
  const flood = await rawClient(path);
  const other = await rawClient(path, { worker_id: 'other' });
  const requests = Buffer.concat(Array.from({ length: 10_000 }, (_, id) => encodeFrame('list', { id })));
  let at = 0;
  for (let turn = 0; at < requests.length; turn++) {
    at += flood.raw(requests.subarray(at));
    flood.drain();
    if (turn % 20 === 0) t.equal((await other.ask('list')).type, 'allocations');
    await sleep(0);
  }
  flood.close();
  other.close();
});

t.test('a client that reads no answer loses its connection, and its memory stays for the next', async (t) => {
  const { server, path } = await startKeeper(t);
  const before = openMemory();
  const silent = await rawClient(path);
  await rawPut(silent, memoryOf('a1', 60), 60);
  const get = (id: number) => encodeFrame('get', { id, allocation_id: 'a1' });
  // Far more than the socket's buffer holds: the keeper waits for room, and gives up.
  const send = async () => {
    for (let id = 0; id < 3000; id++) if (silent.raw(get(id)) === 0) await sleep(5);
  };
  await t.rejects(send(), { message: /closed/ });
  await until(() => server.sessionCount === 0, 'the connection stays');
  const next = await rawClient(path);
  t.equal((await next.ask('get', { allocation_id: 'a1' })).type, 'held');
  silent.close();
  next.close();
  await server.close();
  await until(() => openMemory() === before, 'a descriptor is left open');
});
