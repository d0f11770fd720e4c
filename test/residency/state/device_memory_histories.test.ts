import fc from 'fast-check';
import t from 'tap';
import type { MemoryClaim } from '../../../src/residency/state/memory_claim.js';
import { capacityBytes, fakeDevice, granularityBytes } from './fake_device.js';

const step = fc.record({
  action: fc.constantFrom(
    'claim',
    'allocate',
    'trim',
    'release',
    'reserve',
    'unreserve',
    'claimReserved',
    'refresh',
    'answer',
  ),
  bytes: fc.integer({ min: 1, max: capacityBytes + 1 }),
  /** Picks one of the claims, or one of the reserved parts. */
  pick: fc.nat(),
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface HeldClaim {
  readonly claim: MemoryClaim;
  /** What the driver allocates for it. */
  readonly mappedBytes: number;
  allocated: boolean;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

/** Applies steps to the accounts of a device, and keeps its own list of what is claimed and reserved. */
class History {
  readonly #device = fakeDevice();
  readonly #claims: HeldClaim[] = [];
  readonly #reserved: number[] = [];

  /** Returns whether the step was allowed exactly if it fits, and whether the accounts are correct after it. */
  async apply({ action, bytes, pick }: Step): Promise<boolean> {
    const { memory, answer } = this.#device;
    const allowed = action === 'claim' || action === 'reserve' ? this.#take(action, bytes) : true;
    if (action === 'refresh') void memory.refresh();
    if (action === 'answer') await answer();
    if (action === 'unreserve' || action === 'claimReserved') this.#useReserved(action, pick);
    if (action === 'allocate' || action === 'trim' || action === 'release') this.#changeClaim(action, pick);
    return allowed && this.#isCorrect();
  }

  #take(action: 'claim' | 'reserve', bytes: number): boolean {
    const { memory } = this.#device;
    const mappedBytes = memory.mappedBytes(bytes);
    const fits = mappedBytes <= memory.availableBytes;
    try {
      if (action === 'claim') this.#claims.push({ claim: memory.claim(bytes), mappedBytes, allocated: false });
      else memory.reserve(mappedBytes);
    } catch {
      return !fits;
    }
    if (action === 'reserve') this.#reserved.push(mappedBytes);
    return fits;
  }

  #useReserved(action: 'unreserve' | 'claimReserved', pick: number): void {
    const { memory } = this.#device;
    const [part] = this.#reserved.splice(pick % Math.max(1, this.#reserved.length), 1);
    if (part === undefined) return;
    if (action === 'unreserve') memory.unreserve(part);
    else this.#claims.push({ claim: memory.claim(1, part), mappedBytes: granularityBytes, allocated: false });
  }

  #changeClaim(action: 'allocate' | 'trim' | 'release', pick: number): void {
    const { memory, allocate } = this.#device;
    const held = this.#claims[pick % Math.max(1, this.#claims.length)];
    if (held === undefined) return;
    if (action === 'allocate' && !held.allocated) {
      allocate(held.mappedBytes);
      held.claim.markAllocated();
      held.allocated = true;
    }
    if (action === 'trim' && held.allocated) held.claim.trim();
    if (action === 'release') {
      held.claim.markReleasing();
      if (pick % 2 === 0) void memory.refresh();
      if (held.allocated) allocate(-held.mappedBytes);
      held.claim.release();
      this.#claims.splice(this.#claims.indexOf(held), 1);
    }
  }

  #isCorrect(): boolean {
    const { memory, allocatedBytes } = this.#device;
    const takenBytes = sum(this.#claims.map(({ claim }) => claim.bytes)) + sum(this.#reserved);
    if (takenBytes > capacityBytes || memory.availableBytes !== capacityBytes - takenBytes) return false;
    return allocatedBytes() <= capacityBytes;
  }
}

t.test('claims and reservations never take more than the device has', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const history = new History();
      for (const next of steps) if (!(await history.apply(next))) return false;
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass('the accounts are correct in 2000 histories');
});
