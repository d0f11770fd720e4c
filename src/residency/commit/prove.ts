import { outcomeOf, WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import type { Allocation } from '../../vram/allocation.js';
import type { LoadResult } from '../../vram/load.js';
import { momentNow } from '../../vram/moment.js';
import { Stoppable } from '../../vram/slices.js';
import type { Proof } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import { type CommitRequest, expectationOf } from './request.js';

/** A commit whose bytes all arrived. */
export interface Received {
  readonly request: CommitRequest;
  /** The digests that the host computed over the received bytes. */
  readonly digests: LoadResult;
  /** Tests the shard's device. Throws its failure, or VRAM_OOM. */
  readonly selfTest: () => Promise<void>;
  /** Stops the proof between steps. */
  readonly signal: AbortSignal;
}

/**
 * Proves a shard whose bytes all arrived: (1) the bytes have the expected digest; (2) the memory is read-only; (3) it is
 * memory of the right device; (4) the device's digest is the expected one or, if the client gave none, the digest that
 * the host computed over the received bytes. Only read-only memory is digested.
 * @throws the signal's reason, WorkerError DIGEST_MISMATCH, POLICY_VIOLATION, SEAL_VERIFICATION_FAILED, driver errors
 */
export async function proveShard({ allocation }: Shard, received: Received): Promise<Proof> {
  const { request, digests, signal } = received;
  if (allocation === undefined) throw new WorkerError('INTERNAL', 'A shard without memory cannot be sealed');
  if (request.expectedDigest !== undefined && digests.flat !== request.expectedDigest) {
    throw mismatch(`The bytes have the digest ${digests.flat}`);
  }
  signal.throwIfAborted();
  const { hashes: groupHashes, startedAt: verifiedAt, isStable } = await allocation.prove(signal);
  signal.throwIfAborted();
  if (!isStable) throw deviceFault('The bytes on the device changed during the upload');
  const treeDigest = allocation.treeDigest(groupHashes);
  if (digests.tree !== null && treeDigest !== digests.tree) {
    throw deviceFault('The bytes on the device differ from the received bytes');
  }
  const { expectedTreeDigest } = request;
  if (expectedTreeDigest !== undefined && treeDigest !== expectedTreeDigest) {
    throw await causeOfMismatch(allocation, treeDigest, received);
  }
  const expectation = { expected: expectationOf(request), expectedBy: request.expectedBy ?? null };
  return { digest: digests.flat, treeDigest, groupHashes, ...expectation, verifiedAt };
}

/**
 * Digests a proven shard again, which has been read-only since. @throws the signal's reason, WorkerError POLICY_VIOLATION,
 * SEAL_VERIFICATION_FAILED, driver errors
 */
export async function proveAgain({ allocation }: Shard, proof: Proof, signal: AbortSignal): Promise<Proof> {
  if (allocation === undefined) throw new WorkerError('INTERNAL', 'A shard without memory cannot be sealed');
  const verifiedAt = momentNow();
  await allocation.attest();
  const groupHashes = await allocation.groupHashes(new Stoppable(signal));
  signal.throwIfAborted();
  if (allocation.treeDigest(groupHashes) !== proof.treeDigest) {
    throw deviceFault('The bytes on the device changed while other files arrived');
  }
  return { ...proof, groupHashes, verifiedAt };
}

/**
 * Finds out why the device's digest is not the expected one, if the host computed none: either the client sent other
 * bytes, or the device is wrong.
 */
async function causeOfMismatch(allocation: Allocation, actual: Digest, received: Received): Promise<Error> {
  const { request, selfTest, signal } = received;
  // Both digests were proven to belong together when the worker sealed the shard before a restart.
  if (request.expected !== undefined && request.expectedDigest !== undefined) {
    return deviceFault('The bytes on the device differ from those of the file');
  }
  const again = allocation.treeDigest(await allocation.groupHashes());
  signal.throwIfAborted();
  if (again !== actual) return deviceFault('The device computed different digests of the same bytes');
  try {
    await selfTest();
  } catch (error) {
    if (outcomeOf(error) !== 'VRAM_OOM') throw error;
    return deviceFault('The device has another digest than expected, and no free memory for a self-test');
  }
  return mismatch(`The bytes on the device have the tree digest ${actual}`);
}

const mismatch = (what: string): WorkerError => new WorkerError('DIGEST_MISMATCH', `${what}, not the expected one`);

const deviceFault = (what: string): WorkerError => new WorkerError('SEAL_VERIFICATION_FAILED', what);
