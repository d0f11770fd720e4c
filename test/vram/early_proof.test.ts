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
    const open = allocation.load({ flat: true, tree: true }, { thenProve });
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
