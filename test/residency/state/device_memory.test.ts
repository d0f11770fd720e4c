import t from 'tap';
import { fakeDevice, granularityBytes } from './fake_device.js';

t.test('a refresh counts the memory that other processes take', async (t) => {
  const { memory, allocate, refresh } = fakeDevice();
  allocate(4 * granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 12 * granularityBytes);
  t.match(memory.snapshot().name, `${4 * granularityBytes} bytes`, 'the other figures of the driver are updated too');
  const claim = memory.claim(1);
  claim.markAllocating();
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 11 * granularityBytes, 'an allocation in progress is not counted twice');
  claim.markAllocated();
  t.equal(memory.availableBytes, 11 * granularityBytes);
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 10 * granularityBytes);
});

t.test('a refresh counts the memory that other processes take while commits wait for their turns', async (t) => {
  const { memory, allocate, refresh } = fakeDevice();
  const claim = memory.claim(1);
  allocate(4 * granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 11 * granularityBytes, 'before the first attempt');
  claim.markAllocating();
  allocate(granularityBytes);
  claim.markAllocated();
  claim.markReleasing();
  allocate(-granularityBytes);
  claim.markFree();
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 10 * granularityBytes, 'between two attempts');
  claim.markReleasing();
  claim.release();
  await refresh();
  t.equal(memory.availableBytes, 11 * granularityBytes);
});

t.test('a claim can take all available memory; a larger one fails with the needed and available bytes', async (t) => {
  const { memory } = fakeDevice();
  memory.reserve(4 * granularityBytes);
  const needed = { neededBytes: 13 * granularityBytes, availableBytes: 12 * granularityBytes };
  t.throws(() => memory.claim(12 * granularityBytes + 1), { code: 'VRAM_OOM', sizes: needed, retryAfterMs: 1000 });
  const claim = memory.claim(12 * granularityBytes);
  t.equal(memory.availableBytes, 0);
  t.throws(() => memory.reserve(1), { code: 'VRAM_OOM' });
  claim.release();
  claim.release();
  t.equal(memory.availableBytes, 12 * granularityBytes, 'a second release gives nothing back');
});

t.test('a shard larger than its reserved part claims the rest from available memory', async (t) => {
  const { memory, allocate, refresh } = fakeDevice();
  memory.reserve(4 * granularityBytes);
  memory.reserve(10 * granularityBytes);
  t.throws(() => memory.claim(7 * granularityBytes, 4 * granularityBytes), { code: 'VRAM_OOM' });
  const claim = memory.claim(6 * granularityBytes, 4 * granularityBytes);
  t.equal(claim.bytes, 6 * granularityBytes);
  t.match(memory.snapshot(), { reservedBytes: 10 * granularityBytes, availableBytes: 0 });
  claim.release();
  const smaller = memory.claim(1, 4 * granularityBytes);
  t.equal(smaller.bytes, 4 * granularityBytes, 'a smaller shard holds its whole part until it is sealed');
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

t.test('available bytes are 0, not negative, if other processes take reserved memory', async (t) => {
  const { memory, allocate, refresh } = fakeDevice();
  memory.reserve(4 * granularityBytes);
  allocate(14 * granularityBytes);
  await refresh();
  t.match(memory.snapshot(), { freeBytes: 2 * granularityBytes, availableBytes: 0 });

  const second = fakeDevice();
  second.memory.reserve(4 * granularityBytes);
  const claim = second.memory.claim(1, 4 * granularityBytes);
  second.allocate(granularityBytes);
  claim.markAllocated();
  second.allocate(15 * granularityBytes);
  await second.refresh();
  t.match(second.memory.snapshot(), { freeBytes: 0, availableBytes: 0 });
});

t.test('mapped bytes are rounded up to the granularity, and exact up to 2^53 - 1', async (t) => {
  const { memory } = fakeDevice();
  t.same(
    [1, granularityBytes, granularityBytes + 1].map((bytes) => memory.mappedBytes(bytes) / granularityBytes),
    [1, 1, 2],
  );
  t.equal(memory.mappedBytes(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
});

t.test('a refresh is used only while no claim is being allocated or freed', async (t) => {
  const { memory, allocate, refresh } = fakeDevice();
  const granules = async () => {
    await refresh();
    return memory.availableBytes / granularityBytes;
  };
  t.equal(memory.gpuDevice, 0);
  const claim = memory.claim(1);
  claim.markAllocating();
  allocate(2 * granularityBytes);
  t.equal(await granules(), 15, 'ignored during an allocation');
  allocate(granularityBytes);
  claim.markAllocated();
  claim.markAllocated();
  t.equal(await granules(), 13, 'used after the allocation');
  allocate(granularityBytes);
  t.equal(await granules(), 12);

  claim.markReleasing();
  claim.markReleasing();
  allocate(granularityBytes);
  t.equal(await granules(), 12, 'ignored while the claim is being freed');
  allocate(-granularityBytes);
  claim.release();
  claim.release();
  t.equal(await granules(), 16 - 4, 'used after the claim is released');
  allocate(granularityBytes);
  t.equal(await granules(), 11);

  const next = memory.claim(1);
  next.markAllocating();
  allocate(granularityBytes);
  t.equal(await granules(), 10, 'the second release above does not offset this claim, which is in progress');
  next.markAllocated();
  allocate(-granularityBytes);
  next.release();
  t.equal(await granules(), 11, 'an allocated claim that is released no longer counts as allocated');
  allocate(granularityBytes);
  t.equal(await granules(), 10);
});

t.test('a memory reading of the driver is ignored if a claim changed during the call', async (t) => {
  const { memory, allocate, answer } = fakeDevice();
  const granules = () => memory.availableBytes / granularityBytes;
  const claim = memory.claim(1);
  void memory.refresh();
  allocate(granularityBytes);
  claim.markAllocated();
  await answer();
  t.equal(granules(), 15, 'asked before the allocation');

  claim.markReleasing();
  allocate(-granularityBytes);
  claim.release();
  const failed = memory.claim(1);
  failed.markAllocating();
  allocate(granularityBytes);
  void memory.refresh();
  allocate(-granularityBytes);
  failed.release();
  await answer();
  t.equal(granules(), 16, 'asked before a failed allocation was undone');
});
