import t from 'tap';
import { nativePaths } from '../../src/config/native_paths.js';
import { native } from '../support/paths.js';

const none = { simulate: false, cudaDriver: undefined, cudaKernels: undefined };

t.test('any other driver or kernel module than the default is an override', async (t) => {
  const cudaKernels = import.meta.filename;
  for (const cudaDriver of [undefined, 'libother.so']) {
    const paths = nativePaths({ ...none, cudaDriver, cudaKernels }, native);
    t.match(paths, { driverKind: 'override', kernelsPath: cudaKernels, minCudaVersion: 0 });
    t.equal(paths.driverPath, cudaDriver ?? 'libcuda.so.1');
  }
});

t.test('the simulator runs its own kernels, and other settings conflict with it', async (t) => {
  t.match(nativePaths({ ...none, simulate: true }, native), { driverKind: 'simulated', driverPath: /libcuda_sim/ });
  for (const [setting, value] of [
    ['WORKER_CUDA_DRIVER', { cudaDriver: 'libother.so' }],
    ['WORKER_CUDA_KERNELS', { cudaKernels: '/kernels' }],
  ] as const) {
    t.throws(() => nativePaths({ ...none, ...value, simulate: true }, native), {
      message: new RegExp(`conflicts with ${setting}`),
    });
  }
});
