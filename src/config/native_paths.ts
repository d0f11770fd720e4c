import { existsSync } from 'node:fs';
import { join } from 'node:path';
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
  /** The least CUDA version that the driver must support for the kernels: 13000 for 13.0. 0 if it is not known. */
  readonly minCudaVersion: number;
}

/** `make -C cuda gpu` builds the kernels with CUDA 13, whose binaries need a driver of branch 580 or later. */
const builtCudaVersion = 13_000;

/** Where `make -C cuda` puts its files. */
const defaultDirectory = fileURLToPath(new URL('../../cuda/build', import.meta.url));

/** The path of libvram. @throws ConfigError if it is missing */
export const nativeLibrary = (directory = defaultDirectory): string =>
  need(join(directory, 'libvram.so'), 'run make -C cuda');

/** Selects the simulator, the operator's driver or NVIDIA's. @throws ConfigError that names a missing file */
export function nativePaths(
  config: Pick<Config, 'simulate' | 'cudaDriver' | 'cudaKernels'>,
  directory = defaultDirectory,
): NativePaths {
  const built = (name: string): string => join(directory, name);
  const libraryPath = nativeLibrary(directory);
  if (config.simulate) {
    const conflict = config.cudaDriver === undefined ? 'WORKER_CUDA_KERNELS' : 'WORKER_CUDA_DRIVER';
    if ((config.cudaDriver ?? config.cudaKernels) !== undefined)
      throw new ConfigError(`--simulate conflicts with ${conflict}: use one of them`);
    const driverPath = need(built('libcuda_sim.so'), 'run make -C cuda');
    const kernelsPath = built('vram_kernels.sim');
    return { driverKind: 'simulated', libraryPath, driverPath, kernelsPath, minCudaVersion: 0 };
  }
  const isDefault = config.cudaDriver === undefined && config.cudaKernels === undefined;
  return {
    driverKind: isDefault ? 'cuda' : 'override',
    libraryPath,
    driverPath: config.cudaDriver ?? 'libcuda.so.1',
    kernelsPath: config.cudaKernels ?? need(built('vram_kernels.fatbin'), buildKernels),
    minCudaVersion: config.cudaKernels === undefined ? builtCudaVersion : 0,
  };
}

const buildKernels = 'run make -C cuda gpu, or use --simulate if there is no GPU';

function need(path: string, fix: string): string {
  if (existsSync(path)) return path;
  throw new ConfigError(`${path} does not exist: ${fix}`);
}
