import { join } from 'node:path';
import type { Test } from 'tap';
import type { DriverOptions } from '../../src/vram/driver.js';
import { driverPath, kernelsPath, nativeDirectory } from './simulator.js';

/** Options of a driver without a worker. A call that hangs fails the test. */
export const driverOptions = (t: Test): DriverOptions => ({
  libraryPath: join(nativeDirectory, 'libvram.so'),
  driverPath,
  kernelsPath,
  minCudaVersion: 0,
  maxAllocationBytes: 2 ** 30,
  stagingSlots: 2,
  gpuDevices: undefined,
  fileTimeoutSeconds: 60,
  driverTimeoutSeconds: 60,
  onHang: (error) => t.fail(error.message),
});
