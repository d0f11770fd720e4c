import fc from 'fast-check';
import t from 'tap';
import { type Claim, DeviceMemory } from '../../src/residency/memory.js';

const granularityBytes = 2 * 1024 * 1024;
const capacityBytes = 16 * granularityBytes;

/** A device whose free bytes are what its driver has not been made to give; `answer` lets the driver answer. */
function device() {
  let allocatedBytes = 0;
  const answers: (() => void)[] = [];
  const figures = () => ({
    name: 'device',
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
  return { memory, allocate, answer, allocatedBytes: () => allocatedBytes };
}

interface Held {
  readonly claim: Claim;
  settled: boolean;
}

const step = fc.record({
  action: fc.constantFrom('claim', 'settle', 'drop', 'reserve', 'unreserve', 'take', 'ask', 'answer'),
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
          if (action === 'claim') claims.push({ claim: memory.claim(bytes), settled: false });
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
          allocate(held.claim.bytes);
          held.claim.settle();
          held.settled = true;
        }
        if (action === 'drop' && held !== undefined) {
          held.claim.unsettle();
          if (held.settled) allocate(-held.claim.bytes);
          held.claim.drop();
          claims.splice(claims.indexOf(held), 1);
        }
        if (action === 'unreserve' && part !== undefined) {
          memory.unreserve(part);
          reserved.splice(reserved.indexOf(part), 1);
        }
        if (action === 'take' && part !== undefined) {
          claims.push({ claim: memory.claim(1, part), settled: false });
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
  const { memory, allocate, answer } = device();
  const refresh = async () => {
    const refreshed = memory.refresh();
    await answer();
    await refreshed;
  };
  allocate(4 * granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 12 * granularityBytes);
  const claim = memory.claim(1);
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 11 * granularityBytes, 'an allocation on its way is not counted twice');
  claim.settle();
  t.equal(memory.availableBytes, 11 * granularityBytes);
  allocate(granularityBytes);
  await refresh();
  t.equal(memory.availableBytes, 10 * granularityBytes);
});
