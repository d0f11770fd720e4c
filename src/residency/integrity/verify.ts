import { verifyHandle } from '../../seal/handle.js';
import type { KeySource } from '../../seal/jws.js';
import { type ByteRange, FullSpeed, type Throttle } from '../../vram/slices.js';
import { VramError } from '../../vram/status.js';
import type { Seal } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import { type VerifyFault, type VerifyReport, verifyFaults } from '../state/verify_report.js';
import { damagedRanges, mergeRanges } from './damage.js';

/** The results of a verification so far. */
export interface Findings {
  readonly signature: boolean;
  readonly residency: boolean;
  /** Damaged ranges of the bytes that were read so far. */
  readonly ranges: readonly ByteRange[];
}

export interface VerifyControl {
  /** By default the verification runs at full speed. */
  readonly throttle?: Throttle;
  /** Called at each failed check and at each damaged slice, before anything else is read. */
  readonly onFault: (findings: Findings) => void;
}

/**
 * Verifies a sealed shard: the signature of its handle, where the driver says the memory is and who can access it, and the
 * digest of its bytes on the device. Damage is a result, not an error, and does not end the verification.
 * @throws VramError if the driver fails, and the throttle's rejection
 */
export async function verifyShard(
  shard: Shard,
  seal: Seal,
  keys: KeySource,
  { throttle = new FullSpeed(), onFault }: VerifyControl,
): Promise<VerifyReport> {
  const startedMs = performance.now();
  const { allocation, identity, vramBytes } = shard;
  const signature = verifyHandle(seal.handle, keys).ok;
  const residency = allocation !== undefined && (await isResident(() => allocation.attest()));
  let ranges: readonly ByteRange[] = [];
  if (!signature || !residency) onFault({ signature, residency, ranges });
  const compare = (slice: ByteRange, hashes: Buffer) => {
    const found = damagedRanges(seal.groupHashes, hashes, slice);
    if (found.length === 0) return;
    ranges = mergeRanges(ranges, found);
    onFault({ signature, residency, ranges });
  };
  const hashes = await allocation?.groupHashes(throttle, compare);
  const treeDigest = ranges.length === 0 && hashes !== undefined && allocation?.treeDigest(hashes) === seal.treeDigest;
  // A corrupt shard stays corrupt until it is repaired, even if its bytes read correctly now.
  const passed = { signature, residency, damaged: treeDigest, corrupt: shard.state !== 'corrupt' };
  return {
    shardId: identity.shardId,
    ...verdictOf(passed),
    checks: { signature, residency, treeDigest },
    bytes: vramBytes,
    durationMs: Math.ceil(performance.now() - startedMs),
    corruptRanges: ranges,
  };
}

/** The first check that did not pass is the reason. */
function verdictOf(passed: Readonly<Record<VerifyFault, boolean>>): Pick<VerifyReport, 'verified' | 'reason'> {
  const reason = verifyFaults.find((fault) => !passed[fault]) ?? null;
  return { verified: reason === null, reason };
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
