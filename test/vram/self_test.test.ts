import t from 'tap';
import { get } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker } from '../support/worker.js';

/** One device, so that each driver call of the start has a fixed number. */
process.env.CUDA_SIM_DEVICES = '64MiB';

t.beforeEach(() => simulator.reset());
t.afterEach(() => simulator.reset());

t.test('a start tests the device, and leaves nothing behind', onSimulator, async (t) => {
  const worker = await startWorker(t);
  t.equal(simulator.calls('cuMemCreate'), 3, 'scratch memory, the probe of export, one granule');
  t.equal(simulator.calls('cuMemsetD8Async'), 1);
  t.equal(simulator.live('cuMemCreate'), 1);
  t.equal((await get(worker, '/readyz')).statusCode, 200);
});

const deviceFailures = [
  ['allocate', 'faults', 'cuMemCreate:3=999'],
  ['write', 'faults', 'cuMemcpyHtoDAsync_v2:1=999'],
  ['seal', 'faults', 'cuMemSetAccess:3=999'],
  ['seal', 'spoofs', 'access=1'],
  ['attest', 'spoofs', 'access=3'],
  ['digest', 'spoofs', 'kernel_output=1'],
  ['wipe', 'faults', 'cuMemsetD8Async:1=999'],
] as const;

for (const [step, control, value] of deviceFailures) {
  t.test(
    `a device that fails the step "${step}" is refused with its name and the step: ${value}`,
    onSimulator,
    async (t) => {
      const live = simulator.live('*');
      const worker = await startWorker(t, { start: false });
      simulator[control](value);
      const message = new RegExp(`^GPU device 0 \\(.+\\) failed its self-test at the step "${step}": `);
      await t.rejects(worker.residency.start(), { message });
      simulator.reset();
      t.equal(simulator.live('*'), live);
    },
  );
}

t.test('the failure of a self-test is reported even if the driver cannot be closed', onSimulator, async (t) => {
  const worker = await startWorker(t, { start: false });
  simulator.faults('cuMemsetD8Async:1+=999');
  await t.rejects(worker.residency.start(), { message: /failed its self-test at the step "wipe"/ });
});
