import t from 'tap';
import { damagedRanges, mergeRanges } from '../../../src/residency/integrity/damage.js';
import { groupBytes, hashBytes } from '../../../src/vram/tree.js';

/** Hashes of four groups, of which some differ. */
const hashes = (...damaged: number[]): Buffer =>
  Buffer.concat([0, 1, 2, 3].map((group) => Buffer.alloc(hashBytes, damaged.includes(group) ? 9 : group)));
const at = (group: number, length: number) => ({ offset: group * groupBytes, length });

t.test('damage is located in the groups of the slice alone, and neighbors are one range', async (t) => {
  const slice = at(1, 2 * groupBytes);
  t.same(damagedRanges(hashes(), hashes(0, 3), slice), [], 'the groups before and behind do not count');
  t.same(damagedRanges(hashes(), hashes(1, 2, 3), slice), [at(1, 2 * groupBytes)]);
  t.same(damagedRanges(hashes(), hashes(0, 2), at(0, 3 * groupBytes)), [at(0, groupBytes), at(2, groupBytes)]);
  t.same(damagedRanges(hashes(), hashes(3), at(2, groupBytes + 7)), [at(3, 7)], 'the last group is shorter');
});

t.test('ranges of two lists are ordered, and merged if they touch or overlap', async (t) => {
  const range = (offset: number, length: number) => ({ offset, length });
  t.same(mergeRanges([range(0, 5)], [range(6, 2)]), [range(0, 5), range(6, 2)]);
  t.same(mergeRanges([range(5, 2)], [range(0, 5)]), [range(0, 7)]);
  t.same(mergeRanges([range(0, 10)], [range(2, 3)]), [range(0, 10)]);
  t.same(mergeRanges([range(3, 4), range(20, 1)], [range(5, 6)]), [range(3, 8), range(20, 1)]);
});
