import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DriverKind } from '../seal/handle.js';
import { ConfigError } from './config_error.js';
import type { Config } from './load.js';

/** The native libraries of the worker, and the `driver` claim of its handles. */
export interface NativePaths {
  readonly driverKind: DriverKind;
  readonly libraryPath: string;
  readonly driverPath: string;
  readonly kernelsPath: string;
}

const built = (name: string): string => fileURLToPath(new URL(`../../cuda/build/${name}`, import.meta.url));

/** Selects the simulator, the operator's driver or NVIDIA's. @throws ConfigError that names a missing file */
export function nativePaths(config: Pick<Config, 'simulate' | 'cudaDriver' | 'cudaKernels'>): NativePaths {
  const libraryPath = need(built('libvram.so'), 'run make -C cuda');
  if (config.simulate) {
    if (config.cudaDriver !== undefined)
      throw new ConfigError('--simulate conflicts with WORKER_CUDA_DRIVER: use one of them');
    const driverPath = need(built('libcuda_sim.so'), 'run make -C cuda');
    return { driverKind: 'simulated', libraryPath, driverPath, kernelsPath: built('vram_kernels.sim') };
  }
  return {
    driverKind: config.cudaDriver === undefined ? 'cuda' : 'override',
    libraryPath,
    driverPath: config.cudaDriver ?? 'libcuda.so.1',
    kernelsPath: config.cudaKernels ?? need(built('vram_kernels.fatbin'), buildKernels),
  };
}

const buildKernels = 'run make -C cuda gpu, or use --simulate if there is no GPU';

function need(path: string, fix: string): string {
  if (existsSync(path)) return path;
  throw new ConfigError(`${path} does not exist: ${fix}`);
}
