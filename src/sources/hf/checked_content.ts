import { createHash } from 'node:crypto';
import { invalid, SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { MemorySource } from '../memory_source.js';
import type { RangedSource } from '../ranged_source.js';
import { readRange } from '../read_range.js';
import { gitBlobId } from './git_blob.js';

/** Three times the longest index in use. */
const maxCheckedBytes = 32 * 1024 * 1024;

/** A small file and the id of its Git blob, which counts if the source has no claim. */
interface SmallFile {
  readonly path: string;
  readonly gitOid: string;
}

/**
 * Reads a small file into memory, and compares it with its claimed SHA-256 or with the id of its Git blob. The worker
 * interprets such a file, so its bytes are checked before. After wrong bytes it is read once more.
 * @throws WorkerError SOURCE_INVALID, SOURCE_UNSUPPORTED, and errors of the read
 */
export async function readChecked(
  source: RangedSource,
  { path, gitOid }: SmallFile,
  options: TransferOptions,
): Promise<RangedSource> {
  const { totalBytes, claim } = source;
  if (totalBytes > maxCheckedBytes) {
    throw new SourceFault('SOURCE_UNSUPPORTED', `The index ${path} is longer than ${maxCheckedBytes} bytes`);
  }
  for (let reads = 0; reads < 2; reads += 1) {
    const content = await readRange(source, { offset: 0, length: totalBytes }, options);
    const isExpected = claim === undefined ? gitBlobId(content) === gitOid : sha256Of(content) === claim.digest;
    if (isExpected) return new MemorySource(content, claim);
  }
  throw invalid(`The bytes of ${path} do not have the digest that the source states`);
}

const sha256Of = (content: Uint8Array): string => `sha256:${createHash('sha256').update(content).digest('hex')}`;
