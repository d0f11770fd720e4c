import type { ByteRange } from './slices.js';

/** Bytes per hash that the device outputs: `VRAM_GROUP_BYTES` in `cuda/include/vram.h`. */
export const groupBytes = 512 * 1024;

/** Bytes of one hash: `VRAM_DIGEST_BYTES`. */
export const hashBytes = 32;

/** The number of groups of a shard or a range, of which the last can be shorter. */
export const groupCount = (bytes: number): number => Math.ceil(bytes / groupBytes);

/** The hashes of a range's groups, in those of a whole shard. */
export function hashesOf({ offset, length }: ByteRange, hashes: Buffer): Buffer {
  const start = (offset / groupBytes) * hashBytes;
  return hashes.subarray(start, start + groupCount(length) * hashBytes);
}
