/** `npm run bench:gpu`: measures a real device. Without a device it prints `skipped` and succeeds. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Driver } from '../dist/vram/driver.js';
import { freshContent } from './content.mjs';
import { describeMachine } from './machine.mjs';
import { buildNative, deviceRates } from './native.mjs';
import { readOptions } from './options.mjs';
import { alternate } from './rounds.mjs';
import { rate, result, verdict } from './row.mjs';
import { commitStream } from './stream.mjs';
import { table } from './table.mjs';
import { Worker } from './worker.mjs';
import { createWorkspace } from './workspace.mjs';

const gibibyte = 2 ** 30;
const native = new URL('../cuda/build/', import.meta.url).pathname;
const driverPath = process.env.WORKER_CUDA_DRIVER ?? 'libcuda.so.1';
const kernelsPath = process.env.WORKER_CUDA_KERNELS ?? join(native, 'vram_kernels.fatbin');
const print = (text) => process.stdout.write(`${text}\n`);

/** The first device that the driver reports, or the reason why there is none. */
async function findDevice() {
  if (!existsSync(kernelsPath)) return { missing: `${kernelsPath} does not exist: run make -C cuda gpu` };
  try {
    const paths = { libraryPath: join(native, 'libvram.so'), driverPath, kernelsPath };
    const sizes = { maxAllocationBytes: 1, stagingSlots: 1, minCudaVersion: 0 };
    const driver = await Driver.open({ ...paths, ...sizes, driverTimeoutSeconds: 60, onHang: () => undefined });
    const device = await driver.device(0);
    await driver.close();
    return { device };
  } catch (error) {
    return { missing: `no usable CUDA device: ${error.message}` };
  }
}

/** Checks that copy rates can be measured. Returns the reason in `missing` if they cannot. */
async function probeCopyRates() {
  try {
    await deviceRates(driverPath);
    return {};
  } catch (error) {
    return { missing: error.message.split('device_rates: ').at(-1).trim() };
  }
}

/** Commit by file, which overlaps copying and hashing, compared with a copy alone. */
async function commitRows(worker, workspace, { rounds, sizeBytes }, missing) {
  const rows = [];
  for (const flat of [false, true]) {
    const product = async (content) => {
      const seconds = await worker.file('gpu', content, flat);
      await worker.release('gpu');
      return sizeBytes / 1e9 / seconds;
    };
    const copy = async () => (await deviceRates(driverPath)).host_to_device_gb_per_s;
    const fresh = () => freshContent(workspace.models, 'gpu', sizeBytes);
    await product(fresh()); // the warm-up round
    const samples = await alternate(rounds, fresh, { product, ...(missing === undefined && { copy }) });
    rows.push({
      path: `commit by file, ${flat ? 'flat + tree' : 'flat_digest=false'}, ${sizeBytes / gibibyte} GiB`,
      better: 'higher',
      product: { unit: 'GB/s', samples: samples.product },
      baseline: 'copy from pinned host memory to the device',
      ...(samples.copy ? { baselineSeries: { unit: 'GB/s', samples: samples.copy } } : { missing }),
    });
  }
  return rows;
}

/** Verification, by request time, compared with a copy on the device. */
async function verifyRow(worker, bytes, rounds, missing) {
  await commitStream(worker, 'gpu', bytes);
  const product = async () => {
    const { requestSeconds, report } = await worker.verify('gpu');
    if (report.verified !== true || report.bytes !== bytes) throw new Error('unexpected verification report');
    return requestSeconds;
  };
  const copy = async () => (await deviceRates(driverPath)).device_to_device_gb_per_s;
  await product();
  const samples = await alternate(rounds, () => undefined, { product, ...(missing === undefined && { copy }) });
  await worker.release('gpu');
  return {
    path: `verify, ${bytes / gibibyte} GiB`,
    better: 'higher',
    product: rate(bytes, samples.product),
    baseline: 'copy within the device',
    ...(samples.copy ? { baselineSeries: { unit: 'GB/s', samples: samples.copy } } : { missing }),
  };
}

async function main() {
  const options = readOptions();
  buildNative();
  const { device, missing } = await findDevice();
  if (device === undefined) return print(`skipped: ${missing}`);
  const overridden = process.env.WORKER_CUDA_DRIVER !== undefined;
  print(`${device.name}, ${(device.totalBytes / gibibyte).toFixed(1)} GiB`);
  if (overridden)
    print(`WORKER_CUDA_DRIVER is ${driverPath}: if it is not NVIDIA's driver, these are not figures of a GPU`);
  const copyRates = await probeCopyRates();

  const workspace = createWorkspace(2 * options.sizeBytes);
  const tokenFile = join(workspace.directory, 'token');
  writeFileSync(tokenFile, 'bench-token-0123456789abcdef0123456789', { mode: 0o600 });
  const names = overridden ? { WORKER_CUDA_DRIVER: driverPath, WORKER_CUDA_KERNELS: kernelsPath } : {};
  const worker = await Worker.start(workspace, { WORKER_API_TOKEN_FILE: tokenFile, ...names });
  const rows = await commitRows(worker, workspace, options, copyRates.missing);
  const largestBytes = Math.min(options.quick ? gibibyte : 64 * gibibyte, device.freeBytes * 0.95);
  for (let bytes = gibibyte; bytes <= largestBytes; bytes *= 2) {
    rows.push(await verifyRow(worker, bytes, options.rounds, copyRates.missing));
  }
  await worker.stop();

  print(`\n${table(rows)}\n`);
  const judged = rows.map((row) => ({ ...row, result: result(row), verdict: verdict(row) }));
  const out = options.out.replace(/latest\.json$/, 'gpu.json');
  mkdirSync(dirname(out), { recursive: true });
  const report = { machine: describeMachine(), device, driverPath, options, rows: judged };
  writeFileSync(out, `${JSON.stringify(report, undefined, 2)}\n`);
  print(`written: ${out}`);
}

await main();
process.exit(0);
