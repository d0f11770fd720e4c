/**
 * `npm run test:gpu`: runs the native tests and the tests of residency and HTTP on a GPU instead of the simulator, and
 * measures two rates. Exits with 0 and a message if there is no GPU.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Driver } from '../../dist/vram/driver.js';

const native = join(import.meta.dirname, '../../cuda/build');
const driverPath = process.env.WORKER_CUDA_DRIVER ?? 'libcuda.so.1';
const kernelsPath = process.env.WORKER_CUDA_KERNELS ?? join(native, 'vram_kernels.fatbin');

/** The reason why no GPU can be used, or undefined. */
async function unavailable() {
  if (!existsSync(kernelsPath)) return `${kernelsPath} is missing: run make -C cuda gpu`;
  try {
    const libraryPath = join(native, 'libvram.so');
    const sizes = { maxAllocationBytes: 2 ** 30, stagingSlots: 2, minCudaVersion: 0 };
    const timeout = { driverTimeoutSeconds: 60, onHang: () => undefined };
    await (await Driver.open({ libraryPath, driverPath, kernelsPath, ...sizes, ...timeout })).close();
    return undefined;
  } catch (error) {
    return `no usable CUDA device (${error instanceof Error ? error.message : String(error)})`;
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
  run(process.execPath, 'test/run.mjs', '--jobs=1', 'test/residency', 'test/http', 'test/gpu'),
];
process.exit(failed.some((status) => status !== 0) ? 1 : 0);
