/**
 * Runs the suite on a real device: `npm run test:gpu`. The same tests as on the simulator, with another driver's name,
 * and some figures. Where no device answers it says so, and that is no failure.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Driver } from '../../dist/vram/driver.js';

const native = join(import.meta.dirname, '../../cuda/build');
const driverPath = process.env.WORKER_CUDA_DRIVER ?? 'libcuda.so.1';
const kernelsPath = process.env.WORKER_CUDA_KERNELS ?? join(native, 'vram_kernels.fatbin');

/** Why there is nothing to test on, or undefined. */
async function unavailable() {
  if (!existsSync(kernelsPath)) return `${kernelsPath} is missing: run make -C cuda gpu`;
  try {
    const libraryPath = join(native, 'libvram.so');
    const options = { libraryPath, driverPath, kernelsPath, maxAllocationBytes: 2 ** 30, stagingSlots: 2 };
    await (await Driver.open(options)).close();
    return undefined;
  } catch (error) {
    return `no CUDA device answers (${error instanceof Error ? error.message : String(error)})`;
  }
}

const reason = await unavailable();
if (reason !== undefined) {
  process.stdout.write(`skipped: ${reason}\n`);
  process.exit(0);
}
const env = { ...process.env, VRAM_TEST_DRIVER: driverPath, VRAM_TEST_KERNELS: kernelsPath };
const run = (command, ...args) => spawnSync(command, args, { env, stdio: 'inherit' }).status ?? 1;
const failed = [
  run('make', '--no-print-directory', '-C', 'cuda', 'build/vram_test') || run(join(native, 'vram_test')),
  run('npx', 'tap', '--jobs=1', 'test/residency', 'test/http', 'test/gpu/figures.test.ts'),
];
process.exit(failed.some((status) => status !== 0) ? 1 : 0);
