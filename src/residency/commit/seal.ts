import { WorkerError } from '../../errors.js';
import type { Driver } from '../../vram/driver.js';
import type { Load, LoadResult } from '../../vram/load.js';
import { issueSeal } from '../handle/issue.js';
import type { Seal, Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';
import { type CommitRequest, expectationOf } from './request.js';

/** Takes the device memory of an admitted shard, and a load into it. The claim on the accounts is settled by it. */
export async function openShard(record: Shard, request: CommitRequest, driver: Driver): Promise<Load> {
  const allocation = await driver.allocate(record.memory.gpuDevice, record.vramBytes);
  record.allocation = allocation;
  return allocation.load({ flat: request.flatDigest, tree: request.expectedTreeDigest === undefined });
}

/**
 * Proves and seals a shard whose bytes have all come, in this order: the bytes are the expected ones; what is not yet
 * read-only becomes so; the memory is the right device's own; the device's digest of it is the expected one, or the host's
 * of what came. What is digested, early or now, is memory that nothing can write any more. Until it is signed `signal` can
 * end it.
 * @throws what the signal says, WorkerError DIGEST_MISMATCH, POLICY_VIOLATION, SEAL_VERIFICATION_FAILED, and the driver's errors
 */
export async function sealShard(
  record: Shard,
  request: CommitRequest,
  received: LoadResult,
  signer: Signer,
  signal: AbortSignal,
): Promise<Seal> {
  const { allocation } = record;
  if (allocation === undefined) throw new WorkerError('INTERNAL', 'a shard without memory can not be sealed');
  if (request.expectedDigest !== undefined && received.flat !== request.expectedDigest) {
    throw new WorkerError('DIGEST_MISMATCH', `the bytes have digest ${received.flat}, not the expected one`);
  }
  signal.throwIfAborted();
  await allocation.seal();
  signal.throwIfAborted();
  await allocation.attest();
  const groupHashes = await allocation.finishStreamingDigest(signal);
  signal.throwIfAborted();
  const treeDigest = allocation.treeDigest(groupHashes);
  if (request.expectedTreeDigest !== undefined && treeDigest !== request.expectedTreeDigest) {
    throw new WorkerError('DIGEST_MISMATCH', `the bytes have tree digest ${treeDigest}, not the expected one`);
  }
  if (received.tree !== null && treeDigest !== received.tree) {
    throw new WorkerError('SEAL_VERIFICATION_FAILED', 'the bytes on the device are not the bytes that were received');
  }
  const { flat: digest } = received;
  return issueSeal(record, { digest, treeDigest, groupHashes, expected: expectationOf(request) }, signer);
}
