import type { Shard } from '../state/shard.js';
import type { VerificationOrder } from '../state/verification_order.js';
import type { ScrubRate } from './rate.js';

/** A sealed shard and the time by which it must be verified, on the monotonic clock. */
export interface DueShard {
  readonly shard: Shard;
  readonly deadlineMs: number;
}

/** When each shard was last verified, or last failed to be: a shard that fails is tried once a period. */
export type LastTryMs = (shard: Shard) => number;

/** The part of the period that a pass starts earlier than necessary. */
const marginShare = 0.1;

/** When a sealed shard was last verified, on the monotonic clock; infinite for any other shard. */
export const verifiedMs = ({ phase }: Shard): number =>
  phase.state === 'sealed' ? phase.seal.verifiedAt.monotonicMs : Number.POSITIVE_INFINITY;

/** These sealed shards, the earliest deadline first. Sorting costs little if they come in the order of their verifications. */
export const dueShards = (sealed: Iterable<Shard>, lastTryMs: LastTryMs, periodMs: number): DueShard[] =>
  Array.from(sealed, (shard) => ({ shard, deadlineMs: lastTryMs(shard) + periodMs })).sort(
    (a, b) => a.deadlineMs - b.deadlineMs,
  );

/** A time before which `passStartMs` cannot be. Visits no shard. */
export const earliestPassStartMs = (
  { bytes, oldestMonotonicMs }: Pick<VerificationOrder, 'bytes' | 'oldestMonotonicMs'>,
  rate: ScrubRate,
  periodMs: number,
): number => oldestMonotonicMs + periodMs - bytes * rate.busyMsPerByte - periodMs * marginShare;

/**
 * When a pass over these shards must start so that each meets its deadline although other work is active. Infinite if
 * there are none.
 */
export function passStartMs(due: readonly DueShard[], rate: ScrubRate, periodMs: number): number {
  let [startMs, elapsedMs] = [Number.POSITIVE_INFINITY, 0];
  for (const { shard, deadlineMs } of due) {
    elapsedMs += shard.vramBytes * rate.busyMsPerByte;
    startMs = Math.min(startMs, deadlineMs - elapsedMs);
  }
  return startMs - periodMs * marginShare;
}

/** When the verification of each shard must end so that all later ones meet their deadlines at full speed. */
export function endTimesMs(due: readonly DueShard[], rate: ScrubRate): number[] {
  let latestMs = Number.POSITIVE_INFINITY;
  const endTimes: number[] = [];
  for (const { shard, deadlineMs } of [...due].reverse()) {
    latestMs = Math.min(latestMs, deadlineMs);
    endTimes.push(latestMs);
    latestMs -= shard.vramBytes * rate.msPerByte;
  }
  return endTimes.reverse();
}
