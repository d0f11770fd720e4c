import fc from 'fast-check';
import t from 'tap';
import { ScrubRate } from '../../../src/residency/integrity/rate.js';
import {
  type DueShard,
  dueShards,
  earliestPassStartMs,
  endTimesMs,
  passStartMs,
} from '../../../src/residency/integrity/scrub_schedule.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';

const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 1e12, freeBytes: 1e12, granularityBytes: 1 };
const memory = new DeviceMemory(0, figures, async () => figures);
const grant = new MemoryGrant(memory, memory.claim(1));
const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };

const due = (bytes: number, deadlineMs: number): DueShard => ({ shard: new Shard(identity, bytes, grant), deadlineMs });

/** One byte takes a millisecond at full speed, and four while other work is active. */
function rate(): ScrubRate {
  const measured = new ScrubRate(1000);
  measured.record(1000, 1000);
  return measured;
}

t.test('a pass starts early enough for the shard with the least time, and a tenth of the period earlier', async (t) => {
  t.equal(passStartMs([], rate(), 1000), Number.POSITIVE_INFINITY);
  t.equal(passStartMs([due(10, 5000)], rate(), 1000), 5000 - 40 - 100);
  t.equal(passStartMs([due(10, 5000), due(100, 5001)], rate(), 1000), 5001 - 440 - 100);
  t.equal(passStartMs([due(10, 5000), due(100, 9000)], rate(), 1000), 5000 - 40 - 100);
});

t.test('a shard must end before the shards behind it run out of time', async (t) => {
  t.same(endTimesMs([due(10, 5000), due(100, 5001), due(7, 5002)], rate()), [4895, 4995, 5002]);
  t.same(endTimesMs([due(10, 5000), due(100, 9000)], rate()), [5000, 9000]);
  t.same(endTimesMs([due(10, 5000), due(100, 5001)], new ScrubRate(500)), [4801, 5001], 'at two milliseconds a byte');
});

t.test('shards are due a period after their last verification, or failed one, the earliest first', async (t) => {
  const tries = { a: 30, b: 10, c: 20 };
  const shards = Object.keys(tries).map((id) => ({ id }));
  const found = dueShards(shards as never, (shard) => tries[(shard as never as { id: 'a' }).id], 100);
  t.match(found, [
    { shard: { id: 'b' }, deadlineMs: 110 },
    { shard: { id: 'c' }, deadlineMs: 120 },
    { shard: { id: 'a' }, deadlineMs: 130 },
  ]);
  t.equal(found.length, 3);
});

t.test('the time that is computed without a look at the shards is never after the start of a pass', async (t) => {
  const shards = fc.array(
    fc.record({
      bytes: fc.integer({ min: 1, max: 500 }),
      verifiedMs: fc.nat(20_000),
      failedAfterMs: fc.option(fc.nat(20_000), { nil: 0 }),
    }),
  );
  fc.assert(
    fc.property(shards, fc.integer({ min: 1, max: 50_000 }), (drawn, periodMs) => {
      const queue = drawn.map(({ bytes, verifiedMs, failedAfterMs }) =>
        due(bytes, verifiedMs + failedAfterMs + periodMs),
      );
      queue.sort((a, b) => a.deadlineMs - b.deadlineMs);
      const total = {
        bytes: drawn.reduce((sum, { bytes }) => sum + bytes, 0),
        oldestMonotonicMs: Math.min(...drawn.map(({ verifiedMs }) => verifiedMs)),
      };
      const startMs = passStartMs(queue, rate(), periodMs);
      // Sums in another order differ in the last digits.
      return earliestPassStartMs(total, rate(), periodMs) <= startMs + 1e-6;
    }),
  );
  t.pass('all drawn shards');
});

t.test('a pass that starts in time and reads at full speed meets every deadline', async () => {
  const shards = fc.array(
    fc.record({ bytes: fc.integer({ min: 1, max: 500 }), dueMs: fc.integer({ min: 0, max: 20_000 }) }),
  );
  fc.assert(
    fc.property(shards, (drawn) => {
      const queue = drawn.map(({ bytes, dueMs }) => due(bytes, dueMs)).sort((a, b) => a.deadlineMs - b.deadlineMs);
      const endTimes = endTimesMs(queue, rate());
      let nowMs = passStartMs(queue, rate(), 0);
      return queue.every(({ shard, deadlineMs }, index) => {
        nowMs += shard.vramBytes;
        return nowMs <= (endTimes[index] ?? 0) && (endTimes[index] ?? 0) <= deadlineMs;
      });
    }),
  );
});
