import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { within } from './deadline.mjs';
import { spawnProgram, timeProcess } from './processes.mjs';

const directory = new URL('native', import.meta.url).pathname;
const cudaDirectory = new URL('../cuda', import.meta.url).pathname;
const buildDirectory = new URL('../cuda/build/bench/', import.meta.url).pathname;

/** Of one build, in milliseconds. */
const timeout = 600_000;

/** Builds the product's libraries and the benchmark's own programs, if they are out of date. */
export function buildNative() {
  execFileSync('sh', [new URL('../cuda/install.sh', import.meta.url).pathname], { stdio: 'inherit', timeout });
  for (const args of [
    ['-C', directory],
    ['-C', cudaDirectory, 'build/file_faults.so'],
  ]) {
    execFileSync('make', ['--silent', ...args], { stdio: ['ignore', 'inherit', 'inherit'], timeout });
  }
}

/**
 * See native/hash_rate.cpp.
 * @returns {Promise<{ cores: number, all_gb_per_s: number, one_gb_per_s: number, memory_gb_per_s: number,
 *   message_gb_per_s: number, both_gb_per_s: number }>}
 */
export async function hashRate() {
  return JSON.parse((await timeProcess(`${buildDirectory}hash_rate`, [])).output);
}

/** @typedef {{ read_gb_per_s: number, copy_gb_per_s: number, hash_gb_per_s: number, limit_gb_per_s: number }} FileLimit see native/file_limit.cpp */

/** @param {string} path of a file in the page cache @returns {Promise<FileLimit>} */
export async function fileLimit(path) {
  return JSON.parse((await timeProcess(`${buildDirectory}file_limit`, [path])).output);
}

/** @typedef {{ receive_gb_per_s: number, cpu_s_per_gb: number }} ReceiveLimit see native/receive_limit.cpp */

/** @param {string} path of a file in the page cache @returns {Promise<ReceiveLimit>} */
export async function receiveLimit(path) {
  return JSON.parse((await timeProcess(`${buildDirectory}receive_limit`, [path])).output);
}

/** @returns {Promise<{ host_to_device_gb_per_s: number, device_to_device_gb_per_s: number }>} see native/device_rates.cpp */
export async function deviceRates(driverPath) {
  return JSON.parse((await timeProcess(`${buildDirectory}device_rates`, [driverPath])).output);
}

/** For LD_PRELOAD: delays each read of a file whose name says so, see cuda/test/file_faults.h. */
export const fileFaults = new URL('../cuda/build/file_faults.so', import.meta.url).pathname;

const attachReader = `${buildDirectory}attach_reader`;
const simulator = new URL('../cuda/build/libcuda_sim.so', import.meta.url).pathname;

/** @typedef {{ first_byte_ms: number, all_bytes_ms: number, sum: string }} Reading see native/attach_reader.cpp */

/** Attaches a shard and reads it, in a process of its own. @param {string} socket @param {string} shardId @returns {Promise<Reading>} */
export const readShard = (socket, shardId) => read('attach', socket, simulator, shardId);

/** Maps a file and reads it. @param {string} path @returns {Promise<Reading>} */
export const mapFile = (path) => read('map', path);

/** Copies a file into memory. @param {string} path @returns {Promise<{ all_bytes_ms: number }>} */
export const readFile = (path) => read('read', path);

/**
 * Attaches and detaches a shard at a fixed rate, until `stop` aborts.
 * @param {string} socket @param {string} shardId @param {number} perSecond @param {AbortSignal} stop
 * @returns {Promise<{ per_second: number, p50_ms: number, p99_ms: number }>}
 */
export async function repeatAttaches(socket, shardId, perSecond, stop) {
  const args = ['repeat', socket, simulator, shardId, String(perSecond)];
  const child = spawnProgram(attachReader, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  stop.addEventListener('abort', () => child.stdin.end(), { once: true });
  const ended = Promise.all([text(child.stdout), once(child, 'close')]);
  const [output, [status]] = await within(600, 'attach_reader', ended);
  if (status !== 0) throw new Error(`attach_reader failed with status ${status}`);
  return JSON.parse(output);
}

async function read(...args) {
  return JSON.parse((await timeProcess(attachReader, args)).output);
}
