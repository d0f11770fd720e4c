import { execFileSync } from 'node:child_process';
import { timeProcess } from './processes.mjs';

const directory = new URL('native', import.meta.url).pathname;
const buildDirectory = new URL('../cuda/build/bench/', import.meta.url).pathname;

/** Builds the product's libraries and the benchmark's own programs, if they are out of date. */
export function buildNative() {
  execFileSync('sh', [new URL('../cuda/install.sh', import.meta.url).pathname], { stdio: 'inherit' });
  execFileSync('make', ['--silent', '-C', directory], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** @returns {Promise<{ cores: number, all_gb_per_s: number, one_gb_per_s: number }>} see native/hash_rate.cpp */
export async function hashRate() {
  return JSON.parse((await timeProcess(`${buildDirectory}hash_rate`, [])).output);
}

/** @returns {Promise<{ host_to_device_gb_per_s: number, device_to_device_gb_per_s: number }>} see native/device_rates.cpp */
export async function deviceRates(driverPath) {
  return JSON.parse((await timeProcess(`${buildDirectory}device_rates`, [driverPath])).output);
}
