import { WorkerError } from '../../errors.js';
import type { RangedSource } from '../../sources/ranged_source.js';
import type { SourceReference } from '../../sources/reference.js';
import { momentNow } from '../../vram/moment.js';
import type { ByteRange } from '../../vram/slices.js';
import { issueSeal, recordSeal } from '../handle/issue.js';
import { openPinned } from '../source/pinned.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { damagedRanges, rangeFields } from './damage.js';
import { RepairSink } from './repair_sink.js';
import { StopSignal } from './stop_signal.js';

/**
 * Repairs a corrupt shard from its source. Only the damaged ranges are read, and only bytes with the sealed hashes are
 * written. Then the whole shard is digested on the device and gets a new handle, whose `prev` names the old one. After an
 * error the shard is still corrupt.
 * @throws WorkerError NOT_FOUND, LENGTH_MISMATCH, SOURCE_CHANGED, DIGEST_MISMATCH (the file is missing or has changed),
 * SEAL_VERIFICATION_FAILED (the memory does not keep the written bytes), POLICY_VIOLATION, AUDIT_UNAVAILABLE, SHARD_BUSY
 * (the shard was released), MODEL_DIR_UNAVAILABLE, and the errors of the source and the driver
 */
export async function repairShard(shard: Shard, source: SourceReference, worker: WorkerState): Promise<void> {
  const { phase } = shard;
  if (phase.state !== 'corrupt') throw released();
  const { seal, ranges } = phase;
  const damage = { ranges, groupHashes: seal.groupHashes, throwIfStopped: () => void requireCorrupt(shard) };
  await rewriteDamage(shard, source, worker, damage);
  await resealRepaired(shard, worker);
}

/** Damaged ranges, the hashes of the whole shard as it should be, and what ends the repair between slices. */
export interface Damage {
  readonly ranges: readonly ByteRange[];
  readonly groupHashes: Buffer;
  readonly throwIfStopped: () => void;
}

/** Rewrites damaged ranges from the shard's source. @throws as `repairShard` does */
export async function rewriteDamage(
  shard: Shard,
  reference: SourceReference,
  worker: WorkerState,
  { ranges, groupHashes, throwIfStopped }: Damage,
): Promise<void> {
  const { allocation, vramBytes: bytes } = shard;
  if (allocation === undefined) throw released();
  const stop = new StopSignal(throwIfStopped);
  const options = { signal: stop.signal, timeoutMs: worker.sources.deadlineMs };
  let source: RangedSource | undefined;
  try {
    const digest = shard.seal?.digest ?? null;
    source = await openPinned(worker.sources.of(reference).resolver, { reference, bytes, digest }, options);
    await allocation.ensureSealed();
    await allocation.attest();
    throwIfStopped();
    await worker.shardAudit.appendRequired('RepairStarted', shard, rangeFields(ranges));
    throwIfStopped();
    for (const range of ranges) {
      await source.copyTo(new RepairSink(allocation, range, { groupHashes, throwIfStopped }), range, options);
    }
  } catch (error) {
    await allocation.ensureSealed().catch((unsealed: unknown) => worker.driverHealth.report(unsealed));
    throw error;
  } finally {
    stop.dispose();
    source?.close();
  }
}

async function resealRepaired(shard: Shard, worker: WorkerState): Promise<void> {
  const { allocation, vramBytes } = shard;
  if (allocation === undefined) throw released();
  // All bytes are read again from here on, so the new seal is dated by this moment.
  const verifiedAt = momentNow();
  await allocation.attest();
  const hashes = await allocation.groupHashes();
  const { seal, repairStatus } = requireCorrupt(shard);
  const left = damagedRanges(seal.groupHashes, hashes, { offset: 0, length: vramBytes });
  if (left.length > 0 || allocation.treeDigest(hashes) !== seal.treeDigest) {
    shard.markCorrupt(left, repairStatus);
    throw new WorkerError('SEAL_VERIFICATION_FAILED', 'The memory is still corrupt after the repair');
  }
  const unrecorded = issueSeal(shard, { ...seal, verifiedAt }, worker.signer, {
    exportedAtMs: seal.exportedAtMs,
    replaced: seal,
  });
  await recordSeal(shard, unrecorded, { worker, replaced: seal }, (repaired) => {
    if (shard.state !== 'corrupt' || shard.releaseRequested) {
      worker.shardAudit.effectAborted('VramSealed', shard, { jti: repaired.jti });
      throw released();
    }
    shard.markRepaired(repaired);
    worker.lifecycle.bumpRevision();
  });
}

/** The phase of a corrupt shard. @throws WorkerError SHARD_BUSY if it was released */
function requireCorrupt({ phase, releaseRequested }: Shard) {
  if (phase.state !== 'corrupt' || releaseRequested) throw released();
  return phase;
}

const released = (): WorkerError => new WorkerError('SHARD_BUSY', 'The shard is no longer corrupt');
