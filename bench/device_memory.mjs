import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readContent } from './content.mjs';

const granuleBytes = 2 * 2 ** 20;
const probeBytes = 64;

/**
 * Flips one bit of a shard in the simulated device's memory, from outside the worker's process.
 * @param {string} directory CUDA_SIM_DIR @param {import('./content.mjs').Content} content @param {number} offset in the shard
 */
export function flipBit(directory, content, offset) {
  const granule = offset - (offset % granuleBytes);
  const wanted = readContent(content, granule, probeBytes);
  const memory = openSync(join(directory, 'gpu0-memory.vram'), 'r+');
  try {
    const end = fstatSync(memory).size;
    const found = Buffer.alloc(probeBytes);
    for (let place = 0; place < end; place += granuleBytes) {
      readSync(memory, found, 0, probeBytes, place);
      if (found.equals(wanted)) return flipBitAt(memory, place + offset - granule);
    }
    throw new Error('the shard was not found in the device memory');
  } finally {
    closeSync(memory);
  }
}

function flipBitAt(memory, place) {
  const byte = Buffer.alloc(1);
  readSync(memory, byte, 0, 1, place);
  byte[0] ^= 0x40;
  writeSync(memory, byte, 0, 1, place);
}
