import t from 'tap';
import { type DeviceFigures, DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { Reservations } from '../../../src/residency/state/reservations.js';

const granularityBytes = 2 * 1024 * 1024;
const figures: DeviceFigures = {
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

/** Reservations of one device of 8 granules, by a clock in the test's hands. */
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

t.test('a reservation ends when its time has run out, and not a millisecond before', async (t) => {
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
  t.equal(reserved(), 0, 'what has expired is given back once');
});

t.test('it is remembered for an hour, and not a millisecond longer', async (t) => {
  const { clock, reservations, hold } = start();
  const id = hold([1], 10);
  clock.ms += 10_000 + 3_599_999;
  t.throws(() => reservations.require(id), { code: 'RESERVATION_EXPIRED' });
  clock.ms += 1;
  t.throws(() => reservations.require(id), { code: 'NOT_FOUND' });
});

t.test('renewing never shortens; without a time it holds as long as it was made for', async (t) => {
  const { clock, reservations, hold } = start();
  const id = hold([1], 10);
  const made = reservations.renew(id, 10).expiresAtMs;
  t.ok(reservations.renew(id, 9).expiresAtMs >= made, 'a shorter time changes nothing');
  clock.ms += 5000;
  reservations.renew(id);
  clock.ms += 9_999;
  reservations.require(id);
  clock.ms += 1;
  t.throws(() => reservations.renew(id), { code: 'RESERVATION_EXPIRED' });
  const wall = Date.now();
  const expires = reservations.renew(hold([1], 7), 8).expiresAtMs;
  t.ok(expires >= wall + 8000 && expires <= Date.now() + 8000, 'it says when, by the wall clock');
});

t.test('a step of the wall clock moves when it is said to end, and not when it ends', async (t) => {
  const { clock, reservations, hold, reserved } = start();
  const today = Date.now.bind(Date);
  const wall = { ms: today() };
  t.intercept(Date, 'now', { value: () => wall.ms, configurable: true });
  const hour = 3_600_000;
  for (const stepMs of [hour, -hour, 720 * hour, -720 * hour]) {
    const id = hold([1], 100);
    const made = wall.ms;
    clock.ms += 10_000;
    wall.ms += 10_000;
    t.equal(reservations.renew(id, 1).expiresAtMs, made + 100_000, 'it says the same as long as no clock was set');
    wall.ms += stepMs;
    t.equal(reservations.renew(id, 1).expiresAtMs, wall.ms + 90_000, `after ${stepMs} ms: by the clock of now`);
    t.equal(reservations.renew(id, 120).expiresAtMs, wall.ms + 120_000, 'a longer time counts from now');
    clock.ms += 119_999;
    reservations.dropExpired();
    t.equal(reserved(), 1, 'not a millisecond too early');
    clock.ms += 1;
    t.throws(() => reservations.renew(id), { code: 'RESERVATION_EXPIRED' }, 'nor too late');
    t.equal(reserved(), 0);
  }
});

t.test('when it ends is said anew only where that moved by more than the grain of two clocks', async (t) => {
  const { reservations, hold } = start();
  let wallMs = 1_800_000_000_000;
  t.intercept(Date, 'now', { value: () => wallMs, configurable: true });
  const id = hold([1], 10);
  const made = wallMs + 10_000;
  const ends = () => reservations.renew(id, 1).expiresAtMs;
  wallMs += 2;
  t.equal(ends(), made);
  wallMs -= 4;
  t.equal(ends(), made);
  wallMs -= 1;
  t.equal(ends(), made - 3, 'somebody has set the wall clock');
});

t.test('all shards are held, or none', async (t) => {
  const { reservations, devices, hold, reserved } = start();
  t.throws(() => hold([4, 5], 10), { code: 'VRAM_OOM' });
  t.equal(reserved(), 0);
  hold([4, 4], 10);
  t.equal(reserved(), 8);
  const elsewhere = [{ ...shard(0), gpuDevice: 1 }];
  t.throws(() => reservations.hold('m', elsewhere, devices, 10), { code: 'INTERNAL' });
});

t.test('a part is taken once, by the shard that it was made for', async (t) => {
  const { reservations, hold, reserved } = start();
  const id = hold([2, 1], 10);
  const take = (other: object) => () => reservations.take(id, { ...identity, ...other }, granularityBytes);
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
  t.equal(reserved(), 2 + 1, 'a commit that failed gives its part back');
  take({})().claim.markAllocated();
  t.same(
    reservations.renew(id).shards.map(({ used }) => used),
    [true, false],
  );
});

t.test('dropping frees what no commit has taken, and what a commit gives back later', async (t) => {
  const { memory, reservations, hold, reserved } = start();
  const id = hold([2, 1], 10);
  const taken = reservations.take(id, identity, 1);
  reservations.drop(id);
  t.equal(reserved(), 0);
  t.equal(memory.snapshot().availableBytes, 6 * granularityBytes, 'the part that is being used is held by its commit');
  taken.release();
  t.equal(reserved(), 0);
  t.equal(memory.snapshot().availableBytes, 8 * granularityBytes);
  t.throws(() => reservations.drop(id), { code: 'NOT_FOUND' });
});
