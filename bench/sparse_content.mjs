import { createHash } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { blockBytes, hashBlocks, randomStream, treeDigestOf } from './content.mjs';

const strideBytes = 2 ** 20;
const hole = Buffer.alloc(strideBytes - blockBytes);

/**
 * Sparse files, for sizes that do not fit into memory twice. Each MiB begins with a block of fresh random bytes, which alone
 * takes memory on tmpfs. A smaller file is the beginning of a larger one, so one pass computes all digests.
 * @param {string} directory @param {readonly number[]} sizes whole MiB, ascending
 * @returns {import('./content.mjs').Content[]}
 */
export function sparseContents(directory, sizes) {
  const files = sizes.map((bytes) => create(directory, bytes));
  const random = randomStream();
  const flat = createHash('sha256');
  const hashes = [];
  const holeHashes = hashBlocks(hole);
  const contents = [];
  for (let offset = 0; contents.length < files.length; ) {
    const block = random(blockBytes);
    for (const { file, bytes } of files) if (offset < bytes) writeSync(file, block, 0, block.length, offset);
    flat.update(block).update(hole);
    hashes.push(hashBlocks(block), holeHashes);
    offset += strideBytes;
    const { name, path, bytes } = files[contents.length];
    if (offset < bytes) continue;
    const treeDigest = treeDigestOf(Buffer.concat(hashes), bytes);
    contents.push({ name, path, bytes, digest: flat.copy().digest('hex'), treeDigest });
  }
  for (const { file } of files) closeSync(file);
  return contents;
}

function create(directory, bytes) {
  const name = `sparse-${bytes}`;
  const path = join(directory, name);
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT);
  ftruncateSync(file, bytes);
  return { name, path, bytes, file };
}
