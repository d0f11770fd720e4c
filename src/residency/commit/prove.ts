import { WorkerError } from '../../errors.js';
import type { LoadResult } from '../../vram/load.js';
import type { Proof, Shard } from '../state/shard.js';
import { type CommitRequest, expectationOf } from './request.js';

/**
 * Proves a shard whose bytes all arrived: (1) the bytes have the expected digest; (2) the memory is read-only; (3) it is
 * memory of the right device; (4) the device's digest is the expected one or, if the client gave none, the digest that
 * the host computed over the received bytes. Only read-only memory is digested. `signal` stops it between steps.
 * @throws the signal's reason, WorkerError DIGEST_MISMATCH, POLICY_VIOLATION, SEAL_VERIFICATION_FAILED, driver errors
 */
export async function proveShard(
  { allocation }: Shard,
  request: CommitRequest,
  received: LoadResult,
  signal: AbortSignal,
): Promise<Proof> {
  if (allocation === undefined) throw new WorkerError('INTERNAL', 'A shard without memory cannot be sealed');
  requireExpected('digest', received.flat, request.expectedDigest);
  signal.throwIfAborted();
  await allocation.seal();
  signal.throwIfAborted();
  await allocation.attest();
  const { hashes: groupHashes, startedAt: verifiedAt } = await allocation.finishStreamingDigest(signal);
  signal.throwIfAborted();
  const treeDigest = allocation.treeDigest(groupHashes);
  requireExpected('tree digest', treeDigest, request.expectedTreeDigest);
  if (received.tree !== null && treeDigest !== received.tree) {
    throw new WorkerError('SEAL_VERIFICATION_FAILED', 'The bytes on the device differ from the received bytes');
  }
  return { digest: received.flat, treeDigest, groupHashes, expected: expectationOf(request), verifiedAt };
}

function requireExpected(name: string, actual: string | null, expected: string | undefined): void {
  if (expected === undefined || actual === expected) return;
  throw new WorkerError('DIGEST_MISMATCH', `The bytes have the ${name} ${actual}, not the expected one`);
}
