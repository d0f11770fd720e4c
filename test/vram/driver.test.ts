import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { claimsOf } from '../support/handles.js';
import { get, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker } from '../support/worker.js';

t.beforeEach(() => simulator.reset());
t.afterEach(() => simulator.reset());

const contexts = () => simulator.live('cuDevicePrimaryCtxRetain');

t.test('only the listed devices get a context, and a defect of another one does not matter', onSimulator, async (t) => {
  const before = contexts();
  simulator.faults('cuModuleLoadData:2+=999');
  const worker = await startWorker(t, { env: { WORKER_GPU_DEVICES: '1' } });
  t.equal(contexts(), before + 1);
  t.match((await get(worker, '/v1/devices')).json(), { devices: [{ gpu_device: 1 }] });
  t.equal((await upload(worker, 'a', patternBytes(5000))).json().shard.gpu_device, 1);
});

t.test('a device that does not exist or does not open is named, and no context is left', onSimulator, async (t) => {
  const before = contexts();
  const absent = await startWorker(t, { start: false, env: { WORKER_GPU_DEVICES: '1,7' } });
  await t.rejects(absent.residency.start(), {
    code: 'NOT_FOUND',
    message: /^GPU device 7 does not exist: the driver has 2/,
  });
  const broken = await startWorker(t, { start: false });
  simulator.faults('cuModuleLoadData:2=209');
  await t.rejects(broken.residency.start(), { code: 'CUDA_ERROR', message: /^GPU device 1: .*NO_BINARY_FOR_GPU/ });
  t.equal(contexts(), before);
});

t.test('a simulator is never signed as a GPU, with any settings', onSimulator, async (t) => {
  const worker = await startWorker(t, { residency: { driverKind: 'cuda' } });
  const { handle, shard } = (await upload(worker, 'a', patternBytes(5000))).json();
  t.match(shard, { driver: 'simulated', simulated: true });
  t.match(claimsOf(handle), { driver: 'simulated', simulated: true });
  t.match((await get(worker, '/v1/ready')).json(), { driver: 'simulated' });
});

t.test('a driver that is too old for the kernels is refused with the version to install', onSimulator, async (t) => {
  const worker = await startWorker(t, { start: false, residency: { minCudaVersion: 13_000 } });
  simulator.spoofs('cuda_version=12090');
  await t.rejects(worker.residency.start(), {
    code: 'CUDA_ERROR',
    message: /too old .* install version 580 or later$/,
  });
});

t.test('an instance of a partitioned GPU has the UUID of the instance', onSimulator, async (t) => {
  const [gpu] = (await get(await startWorker(t), '/v1/devices')).json().devices;
  simulator.spoofs('mig=1');
  const [mig] = (await get(await startWorker(t), '/v1/devices')).json().devices;
  t.match(gpu.uuid, /^GPU-[0-9a-f]{8}-/);
  t.equal(mig.uuid, gpu.uuid.replace('GPU-', 'MIG-'));
});
