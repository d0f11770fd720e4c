import { createHash } from 'node:crypto';
import { type Digest, digestOf } from './digest.js';

const blockBytes = 4096;
const hashBytes = 32;

/**
 * The fs-verity digest of `bytes`: SHA-256, blocks of 4096 bytes, no salt. This is the slow and simple reference that
 * tests compare with the kernels, the simulator and the native host code.
 * Source: Linux, Documentation/filesystems/fsverity.rst, "Merkle tree" and "fs-verity descriptor".
 */
export function referenceTreeDigest(bytes: Uint8Array): Digest {
  return digestOf(sha256(descriptor(bytes.length, rootHash(bytes))));
}

/** The hash of the root block; all zeros for an empty file. */
function rootHash(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return new Uint8Array(hashBytes);
  let level = hashLevel(bytes);
  while (level.length > hashBytes) level = hashLevel(level);
  return level;
}

/** Hashes each block of one level into the level above it. The last block is padded with zeros. */
function hashLevel(bytes: Uint8Array): Uint8Array {
  const hashes: Uint8Array[] = [];
  for (let offset = 0; offset < bytes.length; offset += blockBytes) {
    const block = new Uint8Array(blockBytes);
    block.set(bytes.subarray(offset, offset + blockBytes));
    hashes.push(sha256(block));
  }
  return Buffer.concat(hashes);
}

/** `struct fsverity_descriptor`, 256 bytes, little-endian. */
function descriptor(dataBytes: number, root: Uint8Array): Uint8Array {
  const result = Buffer.alloc(256);
  result.writeUInt8(1, 0); // version
  result.writeUInt8(1, 1); // hash_algorithm: SHA-256
  result.writeUInt8(Math.log2(blockBytes), 2); // log_blocksize
  result.writeUInt8(0, 3); // salt_size
  result.writeBigUInt64LE(BigInt(dataBytes), 8); // data_size
  result.set(root, 16); // root_hash
  return result;
}

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
