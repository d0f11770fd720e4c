import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The file that is a simulated device's memory, in the directory that CUDA_SIM_DIR named at the start. */
export const memoryOf = (gpuDevice: number): string =>
  join(process.env.CUDA_SIM_DIR ?? '', `gpu${gpuDevice}-memory.vram`);

/** Whether the memory of a simulated device contains these bytes. */
export const memoryContains = (gpuDevice: number, part: Buffer): boolean =>
  readFileSync(memoryOf(gpuDevice)).includes(part);

/** The offset of a shard in a device's memory. Its first block must be intact. */
export function locate(shard: Buffer, gpuDevice = 0): number {
  const path = memoryOf(gpuDevice);
  const start = readFileSync(path).indexOf(shard.subarray(0, 4096));
  if (start < 0 || start + shard.length > statSync(path).size) throw new Error('the shard is not in the file');
  return start;
}

/** Flips bits of a device's memory from outside: for each flip, the bit `bit` of the byte at `start + offset`. */
export function flip(start: number, flips: readonly { offset: number; bit: number }[], gpuDevice = 0): void {
  const file = openSync(memoryOf(gpuDevice), 'r+');
  const byte = Buffer.alloc(1);
  for (const { offset, bit } of flips) {
    readSync(file, byte, 0, 1, start + offset);
    writeSync(file, Buffer.of(byte.readUInt8() ^ (1 << bit)), 0, 1, start + offset);
  }
  closeSync(file);
}

/** Flips one bit of a shard at each offset. */
export function damage(shard: Buffer, gpuDevice: number, ...offsets: readonly number[]): void {
  const flips = offsets.map((offset) => ({ offset, bit: 4 }));
  flip(locate(shard, gpuDevice), flips, gpuDevice);
}
