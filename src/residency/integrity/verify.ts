import type { AuditFields } from '../../audit/event.js';
import { verifyHandle } from '../../seal/handle.js';
import type { KeySource } from '../../seal/jws.js';
import type { Throttle } from '../../vram/slices.js';
import { VramError } from '../../vram/status.js';
import { groupBytes, hashBytes } from '../../vram/tree.js';
import type { Seal, Shard } from '../state/shard.js';
import type { ByteRange } from '../state/snapshot.js';
import { type VerifyReport, verifyFaults } from '../state/verify_report.js';

/**
 * Verifies a sealed shard: the signature of its handle, where the driver says the memory is and who can access it, and the
 * digest of its bytes on the device. Damage is a result, not an error. @throws VramError if the driver fails
 */
export async function verifyShard(
  shard: Shard,
  seal: Seal,
  keys: KeySource,
  throttle?: Throttle,
): Promise<VerifyReport> {
  const startedMs = performance.now();
  const { allocation, identity, vramBytes } = shard;
  const signature = verifyHandle(seal.handle, keys).ok;
  const residency = allocation !== undefined && (await isResident(() => allocation.attest()));
  const hashes = (await allocation?.groupHashes(throttle)) ?? Buffer.alloc(0);
  const corruptRanges = damagedRanges(seal.groupHashes, hashes, vramBytes);
  const treeDigest = corruptRanges.length === 0 && allocation?.treeDigest(hashes) === seal.treeDigest;
  // A corrupt shard stays corrupt until it is repaired, even if its bytes read correctly now.
  const passed = { signature, residency, damaged: treeDigest, corrupt: shard.state !== 'corrupt' };
  const reason = verifyFaults.find((fault) => !passed[fault]) ?? null;
  return {
    shardId: identity.shardId,
    verified: reason === null,
    reason,
    checks: { signature, residency, treeDigest },
    bytes: vramBytes,
    durationMs: Math.ceil(performance.now() - startedMs),
    corruptRanges,
  };
}

/** How many damaged ranges one audit entry lists. The count covers all of them. */
const maxAuditedRanges = 256;

/** Damage as audit fields of bounded length. */
export const rangeFields = (ranges: readonly ByteRange[]): AuditFields => ({
  corrupt_ranges: ranges.slice(0, maxAuditedRanges),
  corrupt_range_count: ranges.length,
});

/** The byte ranges in which two lists of group hashes differ. Neighbors are merged. */
export function damagedRanges(expected: Buffer, actual: Buffer, bytes: number): ByteRange[] {
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
