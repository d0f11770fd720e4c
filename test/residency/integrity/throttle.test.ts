import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import {
  ActivityDetector,
  type Contention,
  RateBudget,
  ScrubThrottle,
} from '../../../src/residency/integrity/throttle.js';

const mebibyte = 1024 * 1024;

// The timers of a throttle do not keep the process alive.
const keepAlive = setInterval(() => undefined, 1000);
t.teardown(() => clearInterval(keepAlive));
const unlimited = () => new RateBudget(1024 ** 4);

/** Whether a promise settles within 120 ms, which is several polls of a throttle. */
async function settles(promise: Promise<void>): Promise<boolean> {
  return (await Promise.race([promise.then(() => 'done'), sleep(120, 'later')])) === 'done';
}

t.test('the wait grows with the bytes taken beyond the budget, up to a minute', async (t) => {
  const budget = new RateBudget(mebibyte);
  t.equal(budget.waitMs, 0);
  budget.take(mebibyte / 2);
  t.ok(budget.waitMs > 0 && budget.waitMs <= 500);
  budget.take(mebibyte);
  t.ok(budget.waitMs > 500 && budget.waitMs <= 1500, 'bytes taken too early extend the next wait');
  const tiny = new RateBudget(1);
  tiny.take(2 ** 40);
  t.equal(tiny.waitMs, 60_000, 'a wait is at most a minute, which fits a timer');
});

t.test('a slice has at most one second of the budget, in whole groups', async (t) => {
  const slice = (bytesPerSecond: number) => new ScrubThrottle(new RateBudget(bytesPerSecond), () => 'free').sliceBytes;
  t.equal(slice(1024 ** 4), 256 * mebibyte);
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

t.test('a slice waits while the device is busy or scrubbing is paused', async (t) => {
  let contention: Contention = 'busy';
  const throttle = new ScrubThrottle(unlimited(), () => contention);
  const waiting = throttle.next(1);
  t.notOk(await settles(waiting));
  contention = 'free';
  await waiting;
  contention = 'paused';
  const paused = throttle.next(1);
  t.notOk(await settles(paused));
  contention = 'free';
  await paused;
});

t.test('a slice yields to a busy device up to its limit', async (t) => {
  let polls = 0;
  const busy = () => {
    polls++;
    return 'busy' as const;
  };
  await new ScrubThrottle(unlimited(), busy, 100).next(1);
  t.equal(polls, 5);
});

t.test('an expedited verification continues at once, at full speed', async (t) => {
  const budget = new RateBudget(mebibyte);
  const throttle = new ScrubThrottle(budget, () => 'paused');
  const waiting = throttle.next(100 * mebibyte);
  t.notOk(await settles(waiting));
  throttle.expedite();
  await waiting;
  await throttle.next(100 * mebibyte);
  t.equal(throttle.sliceBytes, 256 * mebibyte);
  throttle.cancel();
  await throttle.next(1);
  t.notOk(throttle.canceled, 'it can no longer be canceled');
});

t.test('a canceled verification ends at its next slice', async (t) => {
  const throttle = new ScrubThrottle(unlimited(), () => 'paused');
  const waiting = throttle.next(1);
  throttle.cancel();
  await t.rejects(waiting, { code: 'SHARD_BUSY' });
  t.ok(throttle.canceled);
});
