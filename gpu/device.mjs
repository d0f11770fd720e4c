/**
 * The driver and its devices, for tests and measurements on a GPU. `node gpu/device.mjs` prints the devices. Its exit
 * status is 1 if there is none.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Driver } from '../dist/vram/driver.js';

export const native = new URL('../cuda/build/', import.meta.url).pathname;
export const driverPath = process.env.WORKER_CUDA_DRIVER ?? 'libcuda.so.1';
export const kernelsPath = process.env.WORKER_CUDA_KERNELS ?? join(native, 'vram_kernels.fatbin');

/** Statuses of a host without a GPU: VRAM_DRIVER_NOT_FOUND, and CUDA_ERROR_NO_DEVICE of a driver. */
const noDevice = [22, 10_100];

/**
 * Opens the driver and lists its devices. Without a driver or a device, `missing` says why.
 * @throws any other failure of the driver
 */
export async function findDevices() {
  if (!existsSync(kernelsPath)) return { missing: `${kernelsPath} does not exist: run make -C cuda gpu` };
  const sizes = { maxAllocationBytes: 1, stagingSlots: 1, minCudaVersion: 0 };
  const timeout = { driverTimeoutSeconds: 60, onHang: () => undefined };
  try {
    const paths = { libraryPath: join(native, 'libvram.so'), driverPath, kernelsPath };
    const driver = await Driver.open({ ...paths, ...sizes, ...timeout });
    const devices = await Promise.all(driver.ordinals.map((ordinal) => driver.device(ordinal)));
    const { isSimulator } = driver;
    await driver.close();
    return { devices, isSimulator };
  } catch (error) {
    if (noDevice.includes(error.status)) return { missing: `no CUDA device: ${error.message}` };
    throw error;
  }
}

if (process.argv[1] === import.meta.filename) {
  const { devices = [], isSimulator, missing } = await findDevices();
  if (missing !== undefined) console.log(missing);
  if (isSimulator) console.log('The devices are simulated: these are not figures of a GPU');
  for (const { name, uuid, totalBytes, freeBytes } of devices) {
    console.log(`${name}, ${uuid}, ${totalBytes} bytes, ${freeBytes} of them free`);
  }
  process.exit(devices.length === 0 ? 1 : 0);
}
