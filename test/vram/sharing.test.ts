import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import t from 'tap';
import type { Allocation } from '../../src/vram/allocation.js';
import { DescriptorLibrary } from '../../src/vram/descriptor_library.js';
import { DescriptorSocket, type Received } from '../../src/vram/descriptor_socket.js';
import { Driver } from '../../src/vram/driver.js';
import { partsOf } from '../../src/vram/part_layout.js';
import { driverOptions } from '../support/driver_options.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { socketPair } from '../support/socket_pair.js';

const partBytes = 64 * 1024 * 1024;
const frame = Buffer.from('type=attached\n');

process.env.CUDA_SIM_DEVICES = '256MiB,64MiB';
const options = driverOptions(t);
const library = new DescriptorLibrary(options.libraryPath);
const driver = await Driver.open(options);
t.teardown(() => driver.close());

async function sealed(bytes: number): Promise<Allocation> {
  const allocation = await driver.allocate(0, bytes, { exportable: true });
  await allocation.seal();
  return allocation;
}

async function handOver(allocation: Allocation): Promise<Received> {
  const { ours, peers, close } = socketPair();
  t.equal(await allocation.handOver(ours, frame), frame.length);
  const received = peers.receive(100, 64);
  close();
  if (received === undefined) throw new Error('nothing arrived');
  return received;
}

/** What `rejects` and `throws` of tap compare. */
const isClosed = { code: 'LENGTH_MISMATCH', name: 'VramError' };

const digestOf = async (allocation: Allocation): Promise<string> =>
  allocation.treeDigest(await allocation.groupHashes()).toString();

t.beforeEach(() => simulator.reset());

t.test('a shard is handed over, adopted and digested, and no descriptor is left', onSimulator, async (t) => {
  const before = openDescriptors();
  const { freeBytes } = await driver.device(0);
  t.equal(await driver.exportError(0), null);
  const allocation = await sealed(partBytes + 5);
  const layout = await allocation.layout();
  t.same(layout, { bytes: partBytes + 5, mappedBytes: partBytes + 2 * 1024 * 1024, partBytes });
  t.same(partsOf(layout), [
    { offset: 0, length: partBytes },
    { offset: partBytes, length: 2 * 1024 * 1024 },
  ]);

  const received = await handOver(allocation);
  t.same({ ...received, descriptors: received.descriptors.length }, { bytes: frame, descriptors: 2, truncated: false });
  const adopted = await driver.adopt(0, layout, received.descriptors);
  await adopted.attest();
  t.equal(await digestOf(adopted), await digestOf(allocation));

  // Whoever holds a descriptor can write, and the next digest finds it.
  const digest = await digestOf(allocation);
  writeSync(received.descriptors[1] ?? -1, 'x', 0);
  t.not(await digestOf(allocation), digest);

  await allocation.leave();
  await t.rejects(allocation.attest(), { code: 'INTERNAL' }, 'the handle is stale');
  await adopted.free();
  const wiped = Buffer.alloc(1, 'x');
  readSync(received.descriptors[1] ?? -1, wiped, 0, 1, 0);
  t.same(wiped, Buffer.alloc(1), 'free wipes adopted memory');
  for (const descriptor of received.descriptors) closeSync(descriptor);
  t.equal((await driver.device(0)).freeBytes, freeBytes);
  t.same(newDescriptors(before), []);
});

t.test(
  'memory that was not allocated for export is refused, and so is leaving memory that was never exported',
  async (t) => {
    const { ours, close } = socketPair();
    const plain = await driver.allocate(0, 1);
    await plain.seal();
    await t.rejects(plain.handOver(ours, frame), { code: 'NOT_EXPORTABLE' });
    const unshared = await sealed(1);
    await t.rejects(unshared.leave(), { code: 'INTERNAL' });
    for (const allocation of [plain, unshared]) await allocation.free();
    close();
  },
);

t.test('a device that cannot export says why, and refuses exportable memory', onSimulator, async (t) => {
  simulator.faults('cuMemExportToShareableHandle:1+=801');
  const other = await Driver.open(options);
  t.equal(await other.exportError(0), 'CUDA_ERROR_NOT_SUPPORTED');
  await t.rejects(other.allocate(0, 1, { exportable: true }), { code: 'NOT_EXPORTABLE' });
  await (await other.allocate(0, 1)).free();
  await other.close();
});

t.test('a full socket takes nothing; a closed one is an error', async (t) => {
  const before = openDescriptors();
  const { ours, peers, close } = socketPair();
  const allocation = await sealed(1);
  const filler = Buffer.alloc(1024 * 1024);
  while (ours.send(filler) > 0);
  t.equal(await allocation.handOver(ours, frame), 0);
  t.equal(ours.send(frame), 0);
  await t.rejects(allocation.leave(), 'nothing was exported');
  while (peers.receive(filler.length, 1) !== undefined);
  t.equal(peers.receive(1, 0), undefined);
  t.ok((await allocation.handOver(ours, filler)) < filler.length, 'the caller sends the rest');
  t.equal(peers.receive(1, 64)?.descriptors.length, 1);
  close();

  const closed = socketPair();
  closed.peers.close();
  await t.rejects(allocation.handOver(closed.ours, frame), isClosed);
  t.throws(() => closed.ours.send(frame), isClosed);
  t.throws(() => closed.ours.receive(1, 0), isClosed);
  closed.ours.close();
  t.throws(() => new DescriptorSocket(library, -1), isClosed);
  await allocation.free();
  t.equal(newDescriptors(before).length, 1, 'the descriptor that was received first');
});

t.test('a socket that is closed during a hand-over stays open until the call has ended', onSimulator, async (t) => {
  const before = openDescriptors();
  const allocation = await sealed(1);
  const { ours, peers } = socketPair();
  const handedOver = allocation.handOver(ours, frame);
  ours.close();
  ours.close();
  const other = openSync('/dev/null', 'r');
  t.equal(await handedOver, frame.length);
  const received = peers.receive(100, 64);
  t.same(received?.bytes, frame);
  for (const descriptor of received?.descriptors ?? []) closeSync(descriptor);
  await t.rejects(allocation.handOver(ours, frame), isClosed);
  t.throws(() => ours.send(frame), isClosed);
  peers.close();
  closeSync(other);
  await allocation.free();
  t.same(newDescriptors(before), []);
});

t.test('an adoption refuses other files and other devices, and leaves nothing behind', onSimulator, async (t) => {
  const allocation = await sealed(1);
  const layout = await allocation.layout();
  const { descriptors } = await handOver(allocation);
  const before = openDescriptors();
  const file = openSync(t.testdir({ file: '' }), 'r');
  await t.rejects(driver.adopt(0, layout, [file]), { code: 'CUDA_ERROR', status: 10_001 });
  await t.rejects(driver.adopt(1, layout, descriptors), { code: 'POLICY_VIOLATION' });
  await t.rejects(driver.adopt(2, layout, descriptors), { code: 'INVALID_PARAMS' });
  await t.rejects(driver.adopt(0, { ...layout, bytes: layout.partBytes + 1 }, descriptors), { code: 'INTERNAL' });
  t.throws(() => ftruncateSync(descriptors[0] ?? -1, 0), { code: 'EPERM' }, 'a holder cannot truncate the memory');
  closeSync(file);
  for (const descriptor of descriptors) closeSync(descriptor);
  t.equal(openDescriptors().length, before.length - descriptors.length);
  await allocation.free();
});
