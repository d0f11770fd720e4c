import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { ScrubRate } from '../../../src/residency/integrity/rate.js';
import {
  ActivityDetector,
  type Contention,
  type ScrubJob,
  ScrubThrottle,
} from '../../../src/residency/integrity/throttle.js';
import { Clocks } from '../../support/clock.js';

const mebibyte = 1024 * 1024;

// The timers of a throttle do not keep the process alive.
const keepAlive = setInterval(() => undefined, 1000);
t.teardown(() => clearInterval(keepAlive));

const hourMs = 3_600_000;
const fast = 1024 ** 4;

/** A throttle for 100 MiB that are due in an hour. */
function throttleOf(contention: () => Contention, bytesPerSecond = fast, job: Partial<ScrubJob> = {}) {
  const rate = new ScrubRate(bytesPerSecond);
  const endByMs = performance.now() + hourMs;
  return { rate, throttle: new ScrubThrottle(rate, contention, { bytes: 100 * mebibyte, endByMs, ...job }) };
}

/** Whether a promise settles within 120 ms, which is several polls of a throttle. */
async function settles(promise: Promise<void>): Promise<boolean> {
  return (await Promise.race([promise.then(() => 'done'), sleep(120, 'later')])) === 'done';
}

t.test('a slice has at most one second of the rate, in whole groups', async (t) => {
  const slice = (bytesPerSecond: number) => throttleOf(() => 'free', bytesPerSecond).throttle.sliceBytes;
  t.equal(slice(fast), 256 * mebibyte);
  t.equal(slice(3 * mebibyte + 5), 3 * mebibyte);
  t.equal(slice(1), mebibyte / 2);
});

t.test('a counter is active until 250 ms after its last change', async (t) => {
  const activity = new ActivityDetector();
  t.notOk(activity.look(0, 0));
  t.ok(activity.look(5, 1000));
  t.ok(activity.look(5, 1200));
  t.notOk(activity.look(5, 1300));
  t.ok(activity.look(4, 1400), 'a decrease is a change too');
});

t.test('a slice waits while scrubbing is paused', async (t) => {
  let contention: Contention = 'paused';
  const { throttle } = throttleOf(() => contention);
  const paused = throttle.next(1);
  t.notOk(await settles(paused));
  contention = 'free';
  await paused;
});

t.test('after a slice, other work gets three times its duration', async (t) => {
  let contention: Contention = 'busy';
  const { rate, throttle } = throttleOf(() => contention);
  // The clock moves only here, so that a pause of this process is not part of the slice.
  const clocks = Clocks.take(t);
  await throttle.next(mebibyte);
  t.pass('the first slice does not wait for other work');
  clocks.pass(100);
  const second = throttle.next(mebibyte);
  t.equal(rate.restMs, 3 * 100);
  clocks.pass(299);
  t.notOk(await settles(second));
  contention = 'free';
  await second;
  t.pass('it continues as soon as the other work ends');
});

t.test('a verification whose deadline nears does not leave time to other work', async (t) => {
  const endByMs = performance.now() + 150;
  const { rate, throttle } = throttleOf(() => 'busy', 1000 * mebibyte, { endByMs });
  rate.record(mebibyte, 10_000);
  t.ok(rate.restMs > 20_000);
  await throttle.next(mebibyte);
  t.ok(rate.restMs > 20_000, 'the rest was cut short');
});

t.test('an expedited verification continues at once, at full speed, even while scrubbing is paused', async (t) => {
  const { throttle } = throttleOf(() => 'paused', mebibyte);
  const waiting = throttle.next(100 * mebibyte);
  t.notOk(await settles(waiting));
  throttle.expedite();
  await waiting;
  await throttle.next(100 * mebibyte);
  t.equal(throttle.sliceBytes, 256 * mebibyte);
  t.notOk(throttle.canceled);
  throttle.cancel();
  await t.rejects(throttle.next(1), { code: 'SHARD_BUSY' }, 'it can still be canceled');
});

t.test('a canceled verification ends at its next slice', async (t) => {
  const { throttle } = throttleOf(() => 'paused');
  const waiting = throttle.next(1);
  throttle.cancel();
  await t.rejects(waiting, { code: 'SHARD_BUSY' });
  await t.rejects(throttle.ready(), { code: 'SHARD_BUSY' });
  t.ok(throttle.canceled);
});
