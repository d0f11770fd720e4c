import { WorkerError } from '../../errors.js';
import type { Allocation } from '../../vram/allocation.js';
import { momentNow } from '../../vram/moment.js';
import { type ByteRange, Stoppable } from '../../vram/slices.js';
import { issueSeal, recordSeal } from '../handle/issue.js';
import { damagedRanges, rangeFields } from '../integrity/damage.js';
import { rewriteDamage } from '../integrity/repair.js';
import { writeHashes } from '../keep/prepare.js';
import { leaseFields, maxListedLeases } from '../lease/snapshot.js';
import type { Proof } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import type { KeptEntry } from './map_kept.js';

/** Memory that an earlier worker sealed, mapped again. */
export interface MappedShard {
  readonly entry: KeptEntry;
  readonly shard: Shard;
  readonly allocation: Allocation;
  /** Stops the proof between slices. */
  readonly signal: AbortSignal;
}

/**
 * Digests the memory on the device, and repairs it from the shard's file if it changed while no worker ran.
 * @throws the signal's reason, WorkerError POLICY_VIOLATION, SEAL_VERIFICATION_FAILED if the bytes are not those of the shard and
 * cannot be repaired, MODEL_DIR_UNAVAILABLE, AUDIT_UNAVAILABLE, and the errors of repairs and of the driver
 */
export async function proveKept(worker: WorkerState, mapped: MappedShard): Promise<Proof> {
  const { entry, shard, allocation } = mapped;
  const { digest, treeDigest, expected, expectedBy } = entry;
  const first = await digestMemory(mapped);
  const claims = { digest, treeDigest, expected, expectedBy };
  const listed = await listedHashes(worker, mapped);
  if (allocation.treeDigest(first.groupHashes) === treeDigest) {
    if (listed === undefined) await writeHashes(worker, shard, first.groupHashes);
    return { ...claims, ...first };
  }
  const whole = { offset: 0, length: shard.vramBytes };
  const ranges = listed === undefined ? [whole] : damagedRanges(listed, first.groupHashes, whole);
  await recordDamage(worker, shard, ranges);
  if (listed === undefined) throw damaged('the damage cannot be located without its group hashes');
  if (shard.source === undefined) throw damaged('the worker has no source to repair it from');
  await repair(worker, mapped, { ranges, groupHashes: listed });
  const second = await digestMemory(mapped);
  if (allocation.treeDigest(second.groupHashes) !== treeDigest) throw damaged('the repair failed');
  worker.observer.repaired('ok');
  return { ...claims, ...second };
}

/**
 * Issues the handle of a proven shard, whose `prev` names that of the earlier worker. As for a commit, the manifest lists it before
 * it takes effect. @throws WorkerError AUDIT_UNAVAILABLE
 */
export async function sealKept(
  worker: WorkerState,
  { entry, shard, signal }: MappedShard,
  proof: Proof,
): Promise<void> {
  const { allocationId, jti, exportedAtMs } = entry.memory;
  const leases = worker.leases.count(shard);
  const fields = { allocation_id: allocationId, tree_digest: proof.treeDigest, prev: jti, leases };
  await worker.shardAudit.appendRequired('ShardReadopted', shard, fields);
  const replaced = { jti };
  const unrecorded = issueSeal(shard, proof, worker.signer, { exportedAtMs: exportedAtMs ?? Date.now(), replaced });
  const seal = await recordSeal(shard, unrecorded, { worker, replaced }, (recorded) => recorded);
  signal.throwIfAborted();
  shard.markIssued(seal);
  await worker.lostShards.remember(shard, seal);
  shard.grant.consume();
  shard.markSealed(seal);
  worker.lostShards.found(shard.identity.shardId);
  worker.observer.readopted();
  worker.lifecycle.bumpRevision();
}

/** Checks where the memory is, and digests it. */
async function digestMemory({ allocation, signal }: MappedShard): Promise<Pick<Proof, 'groupHashes' | 'verifiedAt'>> {
  const verifiedAt = momentNow();
  await allocation.attest();
  return { groupHashes: await allocation.groupHashes(new Stoppable(signal)), verifiedAt };
}

/** The hashes from the time of the seal, if they are still those of the manifest's tree digest. */
async function listedHashes(worker: WorkerState, { entry, allocation }: MappedShard): Promise<Buffer | undefined> {
  const hashes = await worker.hashFiles?.read(entry.memory.allocationId, entry.vramBytes);
  return hashes !== undefined && allocation.treeDigest(hashes) === entry.treeDigest ? hashes : undefined;
}

/** All processes that have had the memory since the earlier worker may have written it. */
function recordDamage(worker: WorkerState, shard: Shard, ranges: readonly ByteRange[]): Promise<void> {
  const ever = { wallMs: Number.NEGATIVE_INFINITY, monotonicMs: Number.NEGATIVE_INFINITY };
  const candidates = worker.leases.candidates(shard, { verifiedAt: ever });
  const listed = candidates.slice(0, maxListedLeases).map(leaseFields);
  const fields = { ...rangeFields(ranges), candidates: listed, candidate_count: candidates.length };
  return worker.shardAudit.appendBestEffort({ event: 'SealVerificationFailed', severity: 'critical', fields }, shard);
}

async function repair(
  worker: WorkerState,
  { shard, signal }: MappedShard,
  damage: { readonly ranges: readonly ByteRange[]; readonly groupHashes: Buffer },
): Promise<void> {
  const { source } = shard;
  if (source === undefined) return;
  await rewriteDamage(shard, source, worker, { ...damage, throwIfStopped: () => signal.throwIfAborted() });
}

const damaged = (why: string): WorkerError =>
  new WorkerError('SEAL_VERIFICATION_FAILED', `The memory changed while no worker ran: ${why}`, { retriable: false });
