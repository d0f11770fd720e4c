import type { AuditFields } from '../../audit/event.js';
import { verifyHandle } from '../../seal/handle.js';
import type { KeySource } from '../../seal/jws.js';
import type { Throttle } from '../../vram/slices.js';
import { VramError } from '../../vram/status.js';
import { groupBytes, hashBytes } from '../../vram/tree.js';
import type { Seal, Shard } from '../state/shard.js';
import { type ByteRange, type VerifyReport, verifyFaults } from '../state/snapshot.js';

/**
 * Checks a sealed shard anew: its handle, where the driver says the memory is and who may touch it, and the digest of
 * the bytes where they lie. Finding damage is an answer, not an error. @throws VramError when the driver fails
 */
export async function verifyShard(record: Shard, seal: Seal, keys: KeySource, pace?: Throttle): Promise<VerifyReport> {
  const started = performance.now();
  const { allocation, identity, vramBytes } = record;
  const signature = verifyHandle(seal.handle, keys).ok;
  const residency = allocation !== undefined && (await isResident(() => allocation.attest()));
  const hashes = (await allocation?.groupHashes(pace)) ?? Buffer.alloc(0);
  const corruptRanges = damage(seal.groupHashes, hashes, vramBytes);
  const treeDigest = corruptRanges.length === 0 && allocation?.treeDigest(hashes) === seal.treeDigest;
  // Once corrupt, a shard is not what its handle says until it is repaired, however well it reads now.
  const holds = { signature, residency, damaged: treeDigest, corrupt: record.phase.state !== 'corrupt' };
  const reason = verifyFaults.find((fault) => !holds[fault]) ?? null;
  return {
    shardId: identity.shardId,
    verified: reason === null,
    reason,
    checks: { signature, residency, treeDigest },
    bytes: vramBytes,
    durationMs: Math.ceil(performance.now() - started),
    corruptRanges,
  };
}

/** So many damaged ranges stand in one entry of the audit log; the count tells of all. */
const maxToldRanges = 256;

/** Damage as the audit log tells of it: a line of it is bounded, whatever happens to a shard. */
export const toldRanges = (ranges: readonly ByteRange[]): AuditFields => ({
  corrupt_ranges: ranges.slice(0, maxToldRanges),
  corrupt_range_count: ranges.length,
});

/** Where two lists of group hashes differ, as byte ranges, neighbours merged. */
export function damage(expected: Buffer, actual: Buffer, bytes: number): ByteRange[] {
  const ranges: { offset: number; length: number }[] = [];
  for (let group = 0; group * groupBytes < bytes; group++) {
    const from = group * hashBytes;
    if (expected.subarray(from, from + hashBytes).equals(actual.subarray(from, from + hashBytes))) continue;
    const offset = group * groupBytes;
    const length = Math.min(groupBytes, bytes - offset);
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else ranges.push({ offset, length });
  }
  return ranges;
}

async function isResident(attest: () => Promise<void>): Promise<boolean> {
  try {
    await attest();
    return true;
  } catch (error) {
    if (error instanceof VramError && error.code === 'POLICY_VIOLATION') return false;
    throw error;
  }
}
