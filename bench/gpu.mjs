/** `npm run bench:gpu`: measures a real device. Without a device it prints `skipped` and succeeds. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { driverPath, findDevices } from '../gpu/device.mjs';
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
const print = (text) => process.stdout.write(`${text}\n`);

/** The settings that this process has for the driver. A container may find the driver by LD_LIBRARY_PATH. */
function driverSettings() {
  const names = [
    'WORKER_CUDA_DRIVER',
    'WORKER_CUDA_KERNELS',
    'LD_LIBRARY_PATH',
    'CUDA_VISIBLE_DEVICES',
    'CUDA_SIM_DEVICES',
  ];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
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

/** Verification of 1, 4, 16 and, with `--full`, 64 GiB, as far as they fit. */
async function* measure({ worker, workspace, missing }, options, freeBytes) {
  yield* commitRows(worker, workspace, options, missing);
  const largestBytes = (options.quick ? 1 : options.full ? 64 : 16) * gibibyte;
  for (let bytes = gibibyte; bytes <= Math.min(largestBytes, freeBytes); bytes *= 4) {
    yield await verifyRow(worker, bytes, options.rounds, missing);
  }
}

/** Commit by file, which overlaps copying and hashing, compared with a copy alone. */
async function* commitRows(worker, workspace, { rounds, sizeBytes }, missing) {
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
    yield {
      path: `commit by file, ${flat ? 'flat + tree' : 'flat_digest=false'}, ${sizeBytes / gibibyte} GiB`,
      better: 'higher',
      product: { unit: 'GB/s', samples: samples.product },
      baseline: 'copy from pinned host memory to the device',
      ...(samples.copy ? { baselineSeries: { unit: 'GB/s', samples: samples.copy } } : { missing }),
    };
  }
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
  if (process.env.VRAM_PREBUILT === undefined) buildNative();
  const { devices, isSimulator, missing } = await findDevices();
  if (missing !== undefined) return print(`skipped: ${missing}`);
  const [device] = devices;
  print(`${device.name}, ${(device.totalBytes / gibibyte).toFixed(1)} GiB`);
  if (isSimulator) print('The device is simulated: these are not figures of a GPU');
  const copyRates = await probeCopyRates();

  const workspace = createWorkspace(2 * options.sizeBytes);
  const tokenFile = join(workspace.directory, 'token');
  writeFileSync(tokenFile, 'bench-token-0123456789abcdef0123456789', { mode: 0o600 });
  const worker = await Worker.start(workspace, { WORKER_API_TOKEN_FILE: tokenFile, ...driverSettings() });
  const rows = [];
  for await (const row of measure({ worker, workspace, ...copyRates }, options, device.freeBytes * 0.95)) {
    rows.push(row);
    print(table([row]).split('\n').at(-1)); // what was measured survives the end of the process
  }
  await worker.stop();

  print(`\n${table(rows)}\n`);
  const judged = rows.map((row) => ({ ...row, result: result(row), verdict: verdict(row) }));
  const out = options.out.replace(/latest\.json$/, 'gpu.json');
  mkdirSync(dirname(out), { recursive: true });
  const report = { machine: describeMachine(), device, driverPath, isSimulator, options, rows: judged };
  writeFileSync(out, `${JSON.stringify(report, undefined, 2)}\n`);
  print(`written: ${out}`);
}

await main();
process.exit(0);
