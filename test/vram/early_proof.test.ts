import t from 'tap';
import type { Allocation } from '../../src/vram/allocation.js';
import { Driver } from '../../src/vram/driver.js';
import type { LoadResult } from '../../src/vram/load.js';
import { slotBytes } from '../../src/vram/staging.js';
import { driverOptions } from '../support/driver_options.js';
import { onSimulator, simulator } from '../support/simulator.js';

process.env.CUDA_SIM_DEVICES = '64MiB';
const driver = await Driver.open(driverOptions(t));
t.teardown(() => driver.close());
t.beforeEach(() => simulator.reset());

const signal = new AbortController().signal;

/** Loads all bytes from one slot. */
async function load(allocation: Allocation, bytes: number, thenProve: boolean): Promise<LoadResult> {
  const slots = driver.staging.take(1);
  try {
    const allocating = (run: () => Promise<void>) =>
      run().catch(async (error: unknown) => Promise.reject(await driver.withSizes(error, 0, bytes)));
    const open = allocation.load({ flat: true, tree: true }, { thenProve, allocating });
    const [slot] = slots;
    if (slot === undefined) throw new Error('no slot is free');
    slot.bytes.fill(7, 0, bytes);
    return await open.complete({ slot, bytes });
  } finally {
    driver.staging.give(slots);
  }
}

async function loaded(bytes: number, thenProve: boolean): Promise<{ allocation: Allocation; result: LoadResult }> {
  const allocation = await driver.allocate(0, bytes);
  return { allocation, result: await load(allocation, bytes, thenProve) };
}

t.test('a small load is sealed and digested as it completes, with the result of separate calls', async (t) => {
  for (const bytes of [1, 4096, slotBytes]) {
    const apart = await loaded(bytes, false);
    t.same(await apart.allocation.violations(), ['not sealed']);
    const { hashes } = await apart.allocation.prove(signal);
    const beforeMs = performance.now();
    const together = await loaded(bytes, true);
    const completedMs = performance.now();
    t.same(together.result, apart.result);
    t.same(await together.allocation.violations(), []);
    const proof = await together.allocation.prove(signal);
    t.same(proof.hashes, hashes);
    t.ok(
      proof.startedAt.monotonicMs >= beforeMs && proof.startedAt.monotonicMs <= completedMs,
      'dated before the digest',
    );
    t.equal(together.allocation.treeDigest(proof.hashes), together.result.tree);
    for (const { allocation } of [apart, together]) await allocation.free();
  }
});

t.test('a violation that the completing call finds is thrown by the proof', onSimulator, async (t) => {
  simulator.spoofs('is_managed=1');
  const { allocation, result } = await loaded(4096, true);
  t.type(result.flat, 'string');
  await t.rejects(allocation.prove(signal), { code: 'POLICY_VIOLATION', message: /managed memory/ });
  await allocation.free();
});

t.test('after a failed seal the memory can be freed', onSimulator, async (t) => {
  const before = await driver.device(0);
  const allocation = await driver.allocate(0, 4096);
  simulator.faults('cuMemSetAccess:1=999');
  await t.rejects(load(allocation, 4096, true), { code: 'CUDA_ERROR' });
  simulator.reset();
  await allocation.free();
  t.same(await driver.device(0), before);
});

t.test('memory that is allocated later takes none before its load, and has the same proof', async (t) => {
  const before = await driver.device(0);
  const { allocation: first, result } = await loaded(4096, true);
  const { hashes } = await first.prove(signal);
  await first.free();
  const allocation = driver.allocateLater(0, 4096);
  t.same(await driver.device(0), before);
  t.same(await load(allocation, 4096, true), result);
  t.same((await allocation.prove(signal)).hashes, hashes);
  t.ok((await driver.device(0)).freeBytes < before.freeBytes);
  await allocation.free();
  t.same(await driver.device(0), before);
});

t.test('a load without memory for it fails with the sizes', onSimulator, async (t) => {
  const before = await driver.device(0);
  const allocation = driver.allocateLater(0, 4096);
  simulator.faults('cuMemCreate:1=2');
  const sizes = { neededBytes: before.granularityBytes, availableBytes: before.freeBytes };
  await t.rejects(load(allocation, 4096, true), { code: 'VRAM_OOM', sizes });
  simulator.reset();
  await allocation.free();
  t.same(await driver.device(0), before);
});

t.test('memory that is never loaded can be freed', async (t) => {
  const before = await driver.device(0);
  const allocation = driver.allocateLater(0, 4096);
  await t.rejects(allocation.seal(), { code: 'LENGTH_MISMATCH' });
  await allocation.free();
  t.same(await driver.device(0), before);
});
