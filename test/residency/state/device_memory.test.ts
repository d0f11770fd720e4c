import fc from 'fast-check';
import t from 'tap';
import { DeviceMemory, type MemoryClaim } from '../../../src/residency/state/device_memory.js';

const granularityBytes = 2 * 1024 * 1024;
const capacityBytes = 16 * granularityBytes;

/** A device whose free bytes are what its driver has not been made to give; `answer` lets the driver answer. */
function device() {
  let allocatedBytes = 0;
  const answers: (() => void)[] = [];
  const figures = () => ({
    name: `device with ${allocatedBytes} bytes allocated`,
    uuid: 'GPU-0',
    totalBytes: capacityBytes,
    freeBytes: capacityBytes - allocatedBytes,
    granularityBytes,
  });
  const ask = () => {
    const now = figures();
    return new Promise<typeof now>((resolve) => answers.push(() => resolve(now)));
  };
  const memory = new DeviceMemory(0, figures(), ask);
  const allocate = (bytes: number) => {
    allocatedBytes += bytes;
  };
  const answer = async () => {
    for (const each of answers.splice(0)) each();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const refresh = async () => {
    const refreshed = memory.refresh();
    await answer();
    await refreshed;
  };
  return { memory, allocate, answer, refresh, allocatedBytes: () => allocatedBytes };
}

interface Held {
  readonly claim: MemoryClaim;
  /** What the driver gives of it. */
  readonly givenBytes: number;
  settled: boolean;
}

const step = fc.record({
  action: fc.constantFrom('claim', 'settle', 'shrink', 'drop', 'reserve', 'unreserve', 'take', 'ask', 'answer'),
  bytes: fc.integer({ min: 1, max: capacityBytes + 1 }),
  pick: fc.nat(),
});

t.test('whatever happens, what is claimed and reserved never passes what there is', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { memory, allocate, answer, allocatedBytes } = device();
      const claims: Held[] = [];
      const reserved: number[] = [];
      for (const { action, bytes, pick } of steps) {
        const mapped = memory.mappedBytes(bytes);
        const held = claims[pick % Math.max(1, claims.length)];
        const part = reserved[pick % Math.max(1, reserved.length)];
        const fits = mapped <= memory.availableBytes;
        try {
          if (action === 'claim') claims.push({ claim: memory.claim(bytes), givenBytes: mapped, settled: false });
          if (action === 'reserve') {
            memory.reserve(mapped);
            reserved.push(mapped);
          }
          if ((action === 'claim' || action === 'reserve') && !fits) return false;
        } catch {
          if (fits) return false;
        }
        if (action === 'ask') void memory.refresh();
        if (action === 'answer') await answer();
        if (action === 'settle' && held !== undefined && !held.settled) {
          allocate(held.givenBytes);
          held.claim.markAllocated();
          held.settled = true;
        }
        if (action === 'shrink' && held?.settled) held.claim.trim();
        if (action === 'drop' && held !== undefined) {
          held.claim.markReleasing();
          if (pick % 2 === 0) void memory.refresh();
          if (held.settled) allocate(-held.givenBytes);
          held.claim.release();
          claims.splice(claims.indexOf(held), 1);
        }
        if (action === 'unreserve' && part !== undefined) {
          memory.unreserve(part);
          reserved.splice(reserved.indexOf(part), 1);
        }
        if (action === 'take' && part !== undefined) {
          claims.push({ claim: memory.claim(1, part), givenBytes: granularityBytes, settled: false });
          reserved.splice(reserved.indexOf(part), 1);
        }
        const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
        const spoken = sum(claims.map(({ claim }) => claim.bytes)) + sum(reserved);
        if (spoken > capacityBytes || memory.availableBytes !== capacityBytes - spoken) return false;
        if (allocatedBytes() > capacityBytes) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass('2000 histories');
});

t.test('other processes on the device are seen while nothing is on its way', async (t) => {
  const { memory, allocate, refresh } = device();
  allocate(4 * granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 12 * granularityBytes);
  t.match(memory.snapshot().name, `${4 * granularityBytes} bytes`, 'and all else that the driver says anew');
  const claim = memory.claim(1);
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 11 * granularityBytes, 'an allocation on its way is not counted twice');
  claim.markAllocated();
  t.equal(memory.availableBytes, 11 * granularityBytes);
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 10 * granularityBytes);
});

t.test('a claim takes exactly what is there, and says what is missing of more', async (t) => {
  const { memory } = device();
  memory.reserve(4 * granularityBytes);
  const needed = { neededBytes: 13 * granularityBytes, availableBytes: 12 * granularityBytes };
  t.throws(() => memory.claim(12 * granularityBytes + 1), { code: 'VRAM_OOM', sizes: needed, retryAfterMs: 1000 });
  const claim = memory.claim(12 * granularityBytes);
  t.equal(memory.availableBytes, 0);
  t.throws(() => memory.reserve(1), { code: 'VRAM_OOM' });
  claim.release();
  claim.release();
  t.equal(memory.availableBytes, 12 * granularityBytes, 'dropping twice gives back once');
});

t.test('a larger shard takes the rest of what its part has not from what is available', async (t) => {
  const { memory, allocate, refresh } = device();
  memory.reserve(4 * granularityBytes);
  memory.reserve(10 * granularityBytes);
  t.throws(() => memory.claim(7 * granularityBytes, 4 * granularityBytes), { code: 'VRAM_OOM' });
  const claim = memory.claim(6 * granularityBytes, 4 * granularityBytes);
  t.equal(claim.bytes, 6 * granularityBytes);
  t.match(memory.snapshot(), { reservedBytes: 10 * granularityBytes, availableBytes: 0 });
  claim.release();
  const smaller = memory.claim(1, 4 * granularityBytes);
  t.equal(smaller.bytes, 4 * granularityBytes, 'a smaller one holds all of its part until it is sealed');
  allocate(granularityBytes);
  smaller.markAllocated();
  smaller.trim();
  t.equal(smaller.bytes, granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 9 * granularityBytes);
  smaller.markReleasing();
  allocate(-granularityBytes);
  smaller.markReleasing();
  smaller.release();
  t.equal(memory.availableBytes, 10 * granularityBytes);
});

t.test('what others take beyond what is reserved leaves nothing available, and never less', async (t) => {
  const { memory, allocate, refresh } = device();
  memory.reserve(4 * granularityBytes);
  allocate(14 * granularityBytes);
  await refresh();
  t.match(memory.snapshot(), { freeBytes: 2 * granularityBytes, availableBytes: 0 });

  const { memory: other, allocate: take, refresh: look } = device();
  other.reserve(4 * granularityBytes);
  const claim = other.claim(1, 4 * granularityBytes);
  take(granularityBytes);
  claim.markAllocated();
  take(15 * granularityBytes);
  await look();
  t.match(other.snapshot(), { freeBytes: 0, availableBytes: 0 });
});

t.test('a shard takes whole granules, and says so exactly up to 2^53 - 1', async (t) => {
  const { memory } = device();
  t.same(
    [1, granularityBytes, granularityBytes + 1].map((bytes) => memory.mappedBytes(bytes) / granularityBytes),
    [1, 1, 2],
  );
  t.equal(memory.mappedBytes(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
});

t.test('what others take is seen while nothing is on its way, and only then', async (t) => {
  const { memory, allocate, refresh } = device();
  const granules = async () => {
    await refresh();
    return memory.availableBytes / granularityBytes;
  };
  t.equal(memory.gpuDevice, 0);
  const claim = memory.claim(1);
  allocate(2 * granularityBytes);
  t.equal(await granules(), 15, 'an allocation on its way can not be told from what others take');
  allocate(granularityBytes);
  claim.markAllocated();
  claim.markAllocated();
  t.equal(await granules(), 13, 'once it is settled it can');
  allocate(granularityBytes);
  t.equal(await granules(), 12);

  claim.markReleasing();
  claim.markReleasing();
  allocate(granularityBytes);
  t.equal(await granules(), 12, 'nor can one that is given back');
  allocate(-granularityBytes);
  claim.release();
  claim.release();
  t.equal(await granules(), 16 - 4, 'once it is gone it can');
  allocate(granularityBytes);
  t.equal(await granules(), 11);

  const settled = memory.claim(1);
  allocate(granularityBytes);
  t.equal(await granules(), 10, 'one that was dropped twice does not stand for another that is on its way');
  settled.markAllocated();
  allocate(-granularityBytes);
  settled.release();
  t.equal(await granules(), 11, 'one that was dropped as it was is settled no more');
  allocate(granularityBytes);
  t.equal(await granules(), 10);
});

t.test('an answer that was given before something moved counts for nothing', async (t) => {
  const { memory, allocate, answer } = device();
  const granules = () => memory.availableBytes / granularityBytes;
  const claim = memory.claim(1);
  void memory.refresh();
  allocate(granularityBytes);
  claim.markAllocated();
  await answer();
  t.equal(granules(), 15, 'given before the allocation');

  claim.markReleasing();
  allocate(-granularityBytes);
  claim.release();
  const never = memory.claim(1);
  allocate(granularityBytes);
  void memory.refresh();
  allocate(-granularityBytes);
  never.release();
  await answer();
  t.equal(granules(), 16, 'given before an allocation that came to nothing was taken back');
});
