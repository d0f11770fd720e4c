import type { AuditFields } from '../../audit/event.js';
import { groupBytes, groupCount, hashBytes } from '../../vram/tree.js';
import type { ByteRange } from '../state/snapshot.js';

/** How many damaged ranges one audit entry lists. The count covers all of them. */
const maxAuditedRanges = 256;

/** Damage as audit fields of bounded length. */
export const rangeFields = (ranges: readonly ByteRange[]): AuditFields => ({
  corrupt_ranges: ranges.slice(0, maxAuditedRanges),
  corrupt_range_count: ranges.length,
});

/**
 * The ranges of `slice` in which two lists of group hashes differ. Both lists cover the whole shard. Adjacent ranges are
 * merged.
 */
export function damagedRanges(expected: Buffer, actual: Buffer, { offset, length }: ByteRange): ByteRange[] {
  const [from, to] = [groupCount(offset) * hashBytes, groupCount(offset + length) * hashBytes];
  if (expected.compare(actual, from, to, from, to) === 0) return [];
  const ranges: ByteRange[] = [];
  for (let at = offset; at < offset + length; at += groupBytes) {
    const start = (at / groupBytes) * hashBytes;
    if (expected.compare(actual, start, start + hashBytes, start, start + hashBytes) === 0) continue;
    append(ranges, { offset: at, length: Math.min(groupBytes, offset + length - at) });
  }
  return ranges;
}

/** The union of two ordered lists of ranges. Adjacent and overlapping ranges are merged. */
export function mergeRanges(some: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  const merged: ByteRange[] = [];
  for (const range of [...some, ...others].sort((a, b) => a.offset - b.offset)) append(merged, range);
  return merged;
}

/** Appends a range that does not start before the last one. */
function append(ranges: ByteRange[], { offset, length }: ByteRange): void {
  const last = ranges.at(-1);
  if (last === undefined || last.offset + last.length < offset) {
    ranges.push({ offset, length });
    return;
  }
  const end = Math.max(last.offset + last.length, offset + length);
  ranges[ranges.length - 1] = { offset: last.offset, length: end - last.offset };
}
