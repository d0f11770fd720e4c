import { join } from 'node:path';
import koffi from 'koffi';
import { native } from './paths.js';

// Read by the simulator when the first driver of this process is opened. The suite `source` sets the engine.
process.env.CUDA_SIM_DEVICES ??= '64MiB,64MiB';
process.env.CUDA_SIM_ENGINE ??= 'fast';

export const nativeDirectory = native;

/** The driver under test: the simulator, or the one that `npm run test:gpu` names. */
export const driverPath = process.env.VRAM_TEST_DRIVER ?? join(nativeDirectory, 'libcuda_sim.so');
export const kernelsPath = process.env.VRAM_TEST_KERNELS ?? join(nativeDirectory, 'vram_kernels.sim');

/** For `t.test`: skips a test that only a simulated device supports. */
export const onSimulator = process.env.VRAM_TEST_DRIVER === undefined ? {} : { skip: 'a real device cannot do this' };

/** The memory of each device of the driver under test. */
export const deviceBytes: readonly number[] = (process.env.VRAM_TEST_DEVICE_BYTES ?? '67108864,67108864')
  .split(',')
  .map(Number);
export const lastDevice = deviceBytes.length - 1;

/** For `t.test`: skips a test that needs a second device. */
export const onTwoDevices = lastDevice > 0 ? {} : { skip: 'needs two devices' };

/** More than any device has, and the limit of a shard that allows it. */
export const moreThanAnyDevice = 2 ** 44;
export const withoutSizeLimit = { WORKER_MAX_MODEL_BYTES: String(2 ** 48) };

const library = koffi.load(join(nativeDirectory, 'libcuda_sim.so'));
const set = library.func('int cuSimSet(const char *setting, const char *value)');
const calls = library.func('uint64_t cuSimCalls(const char *name)');
const live = library.func('uint64_t cuSimLive(const char *creator)');
const reset = library.func('void cuSimReset()');

/** Controls the simulated driver of this process: faults, spoofs and latency. See cuda/sim/README.md. */
export const simulator = {
  /** `cuMemCreate:3=2` fails the third call, `cuMemMap:1+=999` all from the first; `*` counts every function. */
  faults: (value: string) => check('FAULTS', value),
  /** `memory_type=1,…` makes the driver report other values. */
  spoofs: (value: string) => check('SPOOFS', value),
  latencyUs: (value: number) => check('LATENCY_US', String(value)),
  calls: (name: string) => Number(calls(name)),
  live: (creator: string) => Number(live(creator)),
  reset: () => void reset(),
};

function check(setting: string, value: string): void {
  if (set(setting, value) !== 0) throw new Error(`the simulator refuses ${setting}=${value}`);
}
