import fc from 'fast-check';
import t from 'tap';
import { type Claim, DeviceMemory } from '../../src/residency/memory.js';

const granularityBytes = 2 * 1024 * 1024;
const capacityBytes = 16 * granularityBytes;

/** A device whose free bytes are what its driver has not been made to give. */
function device() {
  let allocatedBytes = 0;
  const figures = () => ({
    name: 'device',
    uuid: 'GPU-0',
    totalBytes: capacityBytes,
    freeBytes: capacityBytes - allocatedBytes,
    granularityBytes,
  });
  const memory = new DeviceMemory(0, figures);
  const allocate = (bytes: number) => {
    allocatedBytes += bytes;
  };
  return { memory, allocate, allocatedBytes: () => allocatedBytes };
}

interface Held {
  readonly claim: Claim;
  /** What the driver gives of it. */
  readonly givenBytes: number;
  settled: boolean;
}

const step = fc.record({
  action: fc.constantFrom('claim', 'settle', 'shrink', 'drop', 'reserve', 'unreserve', 'take'),
  bytes: fc.integer({ min: 1, max: capacityBytes + 1 }),
  pick: fc.nat(),
});

t.test('whatever happens, what is claimed and reserved never passes what there is', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { memory, allocate, allocatedBytes } = device();
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
        if (action === 'settle' && held !== undefined && !held.settled) {
          allocate(held.givenBytes);
          held.claim.settle();
          held.settled = true;
        }
        if (action === 'shrink' && held?.settled) held.claim.shrink();
        if (action === 'drop' && held !== undefined) {
          held.claim.unsettle();
          if (held.settled) allocate(-held.givenBytes);
          held.claim.drop();
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
  const { memory, allocate } = device();
  allocate(4 * granularityBytes);
  t.equal(memory.availableBytes, 12 * granularityBytes);
  const claim = memory.claim(1);
  allocate(granularityBytes);
  t.equal(memory.availableBytes, 11 * granularityBytes, 'an allocation on its way is not counted twice');
  claim.settle();
  t.equal(memory.availableBytes, 11 * granularityBytes);
});
