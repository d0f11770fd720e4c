import { execFileSync } from 'node:child_process';
import { timeProcess } from './child.mjs';

const directory = new URL('native', import.meta.url).pathname;
const built = new URL('../cuda/build/bench/', import.meta.url).pathname;

/** Compiles the product's libraries and the benchmark's own programs, where they are not up to date. */
export function buildNative() {
  execFileSync('sh', [new URL('../cuda/install.sh', import.meta.url).pathname], { stdio: 'inherit' });
  execFileSync('make', ['--silent', '-C', directory], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** @returns {Promise<{ cores: number, all_gb_per_s: number, one_gb_per_s: number }>} see native/hash_rate.cpp */
export async function hashRate() {
  return JSON.parse((await timeProcess(`${built}hash_rate`, [])).output);
}

/** @returns {Promise<{ host_to_device_gb_per_s: number, device_to_device_gb_per_s: number }>} see native/device_rates.cpp */
export async function deviceRates(driverPath) {
  return JSON.parse((await timeProcess(`${built}device_rates`, [driverPath])).output);
}
