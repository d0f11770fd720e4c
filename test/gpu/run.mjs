/**
 * `npm run test:gpu [-- --quick]`: runs the native tests and the tests of residency and HTTP on a GPU instead of the
 * simulator, and measures two rates. Without a GPU it prints `skipped` and succeeds. `--quick` runs a part of them.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { driverPath, findDevices, kernelsPath, native } from '../../gpu/device.mjs';

const { devices, missing } = await findDevices();
if (missing !== undefined) {
  process.stdout.write(`skipped: ${missing}\n`);
  process.exit(0);
}
const quick = process.argv.includes('--quick');
const env = {
  ...process.env,
  VRAM_TEST_DRIVER: driverPath,
  VRAM_TEST_KERNELS: kernelsPath,
  VRAM_TEST_DEVICE_BYTES: devices.map(({ totalBytes }) => totalBytes).join(),
  ...(quick && { VRAM_TEST_QUICK: '1' }),
};
const run = (command, ...args) => spawnSync(command, args, { env, stdio: 'inherit' }).status ?? 1;
const paths = quick ? ['test/residency/commit', 'test/http/routes/upload.test.ts'] : ['test/residency', 'test/http'];
// gpu/prove.sh sets it on a host without a compiler, where only the build of its archive exists.
const build = () =>
  process.env.VRAM_PREBUILT === undefined
    ? run('make', '--silent', '-C', 'cuda', 'build/vram_test', 'build/example')
    : 0;
const failed = [
  build() || run(join(native, 'vram_test')),
  // One file at a time: tests of free memory would see the shards of others.
  run(process.execPath, 'test/run.mjs', '--jobs=1', ...paths, 'test/gpu'),
];
process.exit(failed.some((status) => status !== 0) ? 1 : 0);
