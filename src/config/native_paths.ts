import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DriverKind } from '../seal/handle.js';
import { type Config, ConfigError } from './settings.js';

/** Which libraries the worker runs on, and what a handle calls them. */
export interface NativePaths {
  readonly driverKind: DriverKind;
  readonly libraryPath: string;
  readonly driverPath: string;
  readonly kernelsPath: string;
}

const built = (name: string): string => fileURLToPath(new URL(`../../cuda/build/${name}`, import.meta.url));

/** The simulator, the driver that the operator names, or NVIDIA's. @throws ConfigError saying what is missing */
export function nativePaths(config: Pick<Config, 'simulate' | 'cudaDriver' | 'cudaKernels'>): NativePaths {
  const libraryPath = need(built('libvram.so'), 'make -C cuda');
  if (config.simulate) {
    if (config.cudaDriver !== undefined) throw new ConfigError('--simulate and WORKER_CUDA_DRIVER exclude each other');
    const driverPath = need(built('libcuda_sim.so'), 'make -C cuda');
    return { driverKind: 'simulated', libraryPath, driverPath, kernelsPath: built('vram_kernels.sim') };
  }
  return {
    driverKind: config.cudaDriver === undefined ? 'cuda' : 'override',
    libraryPath,
    driverPath: config.cudaDriver ?? 'libcuda.so.1',
    kernelsPath: config.cudaKernels ?? need(built('vram_kernels.fatbin'), 'make -C cuda gpu'),
  };
}

function need(path: string, command: string): string {
  if (existsSync(path)) return path;
  throw new ConfigError(`${path} is missing: run ${command}, or serve with --simulate where there is no GPU`);
}
