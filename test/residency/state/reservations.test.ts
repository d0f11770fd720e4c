import t from 'tap';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { maxExpired, maxUsed, Reservations } from '../../../src/residency/state/reservations.js';
import type { DeviceInfo } from '../../../src/vram/driver.js';

const granularityBytes = 2 * 1024 * 1024;
const figures: DeviceInfo = {
  name: 'device',
  uuid: 'GPU-0',
  totalBytes: 8 * granularityBytes,
  freeBytes: 8 * granularityBytes,
  granularityBytes,
};
const shard = (shardIndex: number, granules = 1) => ({
  shardIndex,
  totalShards: 2,
  gpuDevice: 0,
  vramBytes: granules * granularityBytes,
});
const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 2 };

/** Reservations on one device of 8 granules, on a clock that the test controls. */
function start() {
  const clock = { ms: 5000 };
  const memory = new DeviceMemory(0, figures, async () => figures);
  const devices = new Map([[0, memory]]);
  const reservations = new Reservations(() => clock.ms);
  const hold = (granules: number[], seconds: number) =>
    reservations.hold(
      'm',
      granules.map((count, index) => shard(index, count)),
      devices,
      seconds,
    ).reservationId;
  const reserved = () => memory.snapshot().reservedBytes / granularityBytes;
  return { clock, memory, devices, reservations, hold, reserved };
}

t.test('a reservation expires when its time is over, and not a millisecond earlier', async (t) => {
  const { clock, reservations, hold, reserved } = start();
  const id = hold([1], 10);
  clock.ms += 9_999;
  reservations.dropExpired();
  t.equal(reserved(), 1);
  reservations.require(id);
  clock.ms += 1;
  t.throws(() => reservations.require(id), { code: 'RESERVATION_EXPIRED' });
  t.equal(reserved(), 0);
  reservations.dropExpired();
  t.equal(reserved(), 0, 'an expired reservation frees its memory once');
});

t.test('an expired reservation is remembered for an hour, and not a millisecond longer', async (t) => {
  const { clock, reservations, hold } = start();
  const id = hold([1], 10);
  clock.ms += 10_000 + 3_599_999;
  t.throws(() => reservations.require(id), { code: 'RESERVATION_EXPIRED' });
  clock.ms += 1;
  t.throws(() => reservations.require(id), { code: 'NOT_FOUND' });
});

t.test('reservations that expired between two decisions are forgotten in the order of their ends', async (t) => {
  const { clock, reservations, hold } = start();
  const [, longest = '', last = ''] = [hold([1], 10), hold([1], 3600), hold([1], 10)];
  clock.ms += 10_000 + 3_600_000;
  t.throws(() => reservations.require(last), { code: 'NOT_FOUND' });
  t.throws(() => reservations.require(longest), { code: 'RESERVATION_EXPIRED' });
});

t.test('only the newest expired reservations are remembered', async (t) => {
  const { clock, reservations, hold, reserved } = start();
  const ids = Array.from({ length: maxExpired + 1 }, () => {
    const id = hold([1], 0.001);
    clock.ms += 1;
    reservations.dropExpired();
    return id;
  });
  const [oldest = '', next = ''] = ids;
  t.throws(() => reservations.require(oldest), { code: 'NOT_FOUND' });
  t.throws(() => reservations.require(next), { code: 'RESERVATION_EXPIRED' });
  t.equal(reserved(), 0);
});

t.test('beyond the limit, the reservation that was used up first expires early', async (t) => {
  const { memory, reservations, hold } = start();
  const ids = Array.from({ length: maxUsed + 1 }, () => {
    const id = hold([1], 3600);
    const grant = reservations.take(id, identity, 1);
    grant.consume();
    grant.release();
    return id;
  });
  const [oldest = '', next = ''] = ids;
  t.throws(() => reservations.require(oldest), { code: 'RESERVATION_EXPIRED' });
  t.throws(() => reservations.take(next, identity, 1), { code: 'SHARD_CONFLICT', message: /used/ });
  t.equal(memory.snapshot().availableBytes, 8 * granularityBytes);
});

t.test('a renewal never shortens a reservation, and lasts as long as the original by default', async (t) => {
  const { clock, reservations, hold } = start();
  const id = hold([1], 10);
  const original = reservations.renew(id, 10).expiresAtMs;
  t.ok(reservations.renew(id, 9).expiresAtMs >= original, 'a shorter time changes nothing');
  clock.ms += 5000;
  reservations.renew(id);
  clock.ms += 9_999;
  reservations.require(id);
  clock.ms += 1;
  t.throws(() => reservations.renew(id), { code: 'RESERVATION_EXPIRED' });
  const wall = Date.now();
  const expires = reservations.renew(hold([1], 7), 8).expiresAtMs;
  t.ok(expires >= wall + 8000 && expires <= Date.now() + 8000, 'the reported expiry is on the wall clock');
});

t.test('a step of the wall clock changes the reported expiry, but not when a reservation expires', async (t) => {
  const { clock, reservations, hold, reserved } = start();
  const today = Date.now.bind(Date);
  const wall = { ms: today() };
  t.intercept(Date, 'now', { value: () => wall.ms, configurable: true });
  const hour = 3_600_000;
  for (const stepMs of [hour, -hour, 720 * hour, -720 * hour]) {
    const id = hold([1], 100);
    const madeAtMs = wall.ms;
    clock.ms += 10_000;
    wall.ms += 10_000;
    t.equal(
      reservations.renew(id, 1).expiresAtMs,
      madeAtMs + 100_000,
      'the reported expiry is stable while the wall clock does not step',
    );
    wall.ms += stepMs;
    t.equal(
      reservations.renew(id, 1).expiresAtMs,
      wall.ms + 90_000,
      `after a step of ${stepMs} ms, the reported expiry follows the wall clock`,
    );
    t.equal(reservations.renew(id, 120).expiresAtMs, wall.ms + 120_000, 'a longer time is counted from now');
    clock.ms += 119_999;
    reservations.dropExpired();
    t.equal(reserved(), 1, 'it does not expire a millisecond early');
    clock.ms += 1;
    t.throws(() => reservations.renew(id), { code: 'RESERVATION_EXPIRED' }, 'it expires on time');
    t.equal(reserved(), 0);
  }
});

t.test('the reported expiry ignores the noise between the two clocks', async (t) => {
  const { reservations, hold } = start();
  let wallMs = 1_800_000_000_000;
  t.intercept(Date, 'now', { value: () => wallMs, configurable: true });
  const id = hold([1], 10);
  const original = wallMs + 10_000;
  const reported = () => reservations.renew(id, 1).expiresAtMs;
  wallMs += 2;
  t.equal(reported(), original);
  wallMs -= 4;
  t.equal(reported(), original);
  wallMs -= 1;
  t.equal(reported(), original - 3, 'a step of the wall clock is more than noise');
});

t.test('a plan gets memory for all its shards, or for none', async (t) => {
  const { reservations, devices, hold, reserved } = start();
  t.throws(() => hold([4, 5], 10), { code: 'VRAM_OOM' });
  t.equal(reserved(), 0);
  hold([4, 4], 10);
  t.equal(reserved(), 8);
  const absentDevice = [{ ...shard(0), gpuDevice: 1 }];
  t.throws(() => reservations.hold('m', absentDevice, devices, 10), { code: 'INTERNAL' });
});

t.test('a part is taken once, by the shard that it was reserved for', async (t) => {
  const { reservations, hold, reserved } = start();
  const id = hold([2, 1], 10);
  const take = (changes: object) => () => reservations.take(id, { ...identity, ...changes }, granularityBytes);
  const conflict = { code: 'SHARD_CONFLICT' };
  t.throws(take({ modelRef: 'n' }), { ...conflict, message: /model_ref/ });
  t.throws(take({ shardIndex: 2 }), { ...conflict, message: /shard_index 2/ });
  t.throws(take({ totalShards: 3 }), { ...conflict, message: /total_shards/ });
  t.equal(reservations.deviceOf(id, identity), 0);
  t.throws(() => reservations.deviceOf(id, { ...identity, modelRef: 'n' }), conflict);
  const taken = take({})();
  t.equal(reserved(), 1);
  t.throws(take({}), { ...conflict, message: /used/ });
  t.throws(() => reservations.take('none', identity, 1), { code: 'NOT_FOUND' });

  taken.release();
  t.equal(reserved(), 2 + 1, 'a failed commit returns its part');
  take({})().claim.markAllocated();
  t.same(
    reservations.renew(id).shards.map(({ used }) => used),
    [true, false],
  );
});

t.test(
  'a dropped reservation frees the parts that no commit took, and the others when their commit fails',
  async (t) => {
    const { memory, reservations, hold, reserved } = start();
    const id = hold([2, 1], 10);
    const taken = reservations.take(id, identity, 1);
    reservations.drop(id);
    t.equal(reserved(), 0);
    t.equal(memory.snapshot().availableBytes, 6 * granularityBytes, 'the commit still holds the part that it took');
    taken.release();
    t.equal(reserved(), 0);
    t.equal(memory.snapshot().availableBytes, 8 * granularityBytes);
    t.throws(() => reservations.drop(id), { code: 'NOT_FOUND' });
  },
);
