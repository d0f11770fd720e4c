import { createCipheriv, createHash, hash, randomBytes } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const chunkBytes = 2 ** 20;
export const blockBytes = 4096;
const zeros = Buffer.alloc(chunkBytes);

/**
 * @typedef {object} Content a file of fresh random bytes, and its digests
 * @property {string} name
 * @property {string} path
 * @property {number} bytes
 * @property {string} digest SHA-256, 64 hex digits
 * @property {string} treeDigest fs-verity, 64 hex digits
 */

/** An endless stream of random bytes: an AES-128-CTR key stream, because it is fast. @returns {(bytes: number) => Buffer} */
export function randomStream() {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  return (bytes) => cipher.update(zeros.subarray(0, bytes));
}

/**
 * Fills a file with fresh random bytes, in place, to keep its pages allocated. Computes the expected digests with code that
 * is independent of the product's. The file begins with `head`.
 * @param {string} directory @param {string} name @param {number} bytes @param {Buffer} head @returns {Content}
 */
export function freshContent(directory, name, bytes, head = Buffer.alloc(0)) {
  const path = join(directory, name);
  const digests = new Digests(bytes);
  const random = randomStream();
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT);
  ftruncateSync(file, bytes);
  for (let offset = 0; offset < bytes; offset += chunkBytes) {
    const chunk = random(Math.min(chunkBytes, bytes - offset));
    if (offset === 0) chunk.set(head);
    writeSync(file, chunk, 0, chunk.length, offset);
    digests.update(chunk);
  }
  closeSync(file);
  return { name, path, bytes, ...digests.finish() };
}

/** Reads `length` bytes at `offset`. @param {Content} content @param {number} offset @param {number} length */
export function readContent(content, offset, length) {
  const file = openSync(content.path, 'r');
  const buffer = Buffer.alloc(length);
  readSync(file, buffer, 0, length, offset);
  closeSync(file);
  return buffer;
}

/** Computes both digests. Every chunk except the last must consist of whole 4096-byte blocks. */
export class Digests {
  #bytes;
  #flat = createHash('sha256');
  #hashes = [];

  /** @param {number} bytes total length */
  constructor(bytes) {
    this.#bytes = bytes;
  }

  /** @param {Buffer} chunk */
  update(chunk) {
    this.#flat.update(chunk);
    this.#hashes.push(hashBlocks(chunk));
  }

  /** @returns {{ digest: string, treeDigest: string }} */
  finish() {
    const treeDigest = treeDigestOf(Buffer.concat(this.#hashes), this.#bytes);
    return { digest: this.#flat.digest('hex'), treeDigest };
  }
}

/** The fs-verity digest of a file. @param {Buffer} hashes of its blocks @param {number} bytes of the file */
export function treeDigestOf(hashes, bytes) {
  let level = hashes;
  while (level.length > 32) level = hashBlocks(level);
  // struct fsverity_descriptor: version 1, SHA-256, log2 of the block size, no salt, the file size, the root hash.
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, 1, Math.log2(blockBytes)]);
  descriptor.writeBigUInt64LE(BigInt(bytes), 8);
  descriptor.set(level, 16);
  return hash('sha256', descriptor);
}

/** SHA-256 of each block, with zero padding for the last. @param {Buffer} bytes */
export function hashBlocks(bytes) {
  const hashes = Buffer.alloc(Math.ceil(bytes.length / blockBytes) * 32);
  for (let offset = 0; offset < bytes.length; offset += blockBytes) {
    const part = bytes.subarray(offset, offset + blockBytes);
    const block = part.length === blockBytes ? part : Buffer.concat([part], blockBytes);
    hash('sha256', block, 'buffer').copy(hashes, (offset / blockBytes) * 32);
  }
  return hashes;
}
