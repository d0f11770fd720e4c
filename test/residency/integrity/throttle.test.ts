import t from 'tap';
import {
  ActivityDetector,
  type Contention,
  RateBudget,
  ScrubThrottle,
} from '../../../src/residency/integrity/throttle.js';

const mebibyte = 1024 * 1024;

// Waiting keeps no process alive.
const alive = setInterval(() => undefined, 1000);
t.teardown(() => clearInterval(alive));
const wide = () => new RateBudget(1024 ** 4);

/** Whether a promise has settled once everything that is due has run. */
async function settled(promise: Promise<void>): Promise<boolean> {
  const later = new Promise<'later'>((resolve) => setTimeout(resolve, 120, 'later'));
  return (await Promise.race([promise.then(() => 'done'), later])) === 'done';
}

t.test('a budget that is spent is waited for, and never saved up', async (t) => {
  const budget = new RateBudget(mebibyte);
  t.equal(budget.waitMs, 0);
  budget.take(mebibyte / 2);
  t.ok(budget.waitMs > 0 && budget.waitMs <= 500);
  budget.take(mebibyte);
  t.ok(budget.waitMs > 500 && budget.waitMs <= 1500, 'what is taken too early is waited for later');
  const tiny = new RateBudget(1);
  tiny.take(2 ** 40);
  t.equal(tiny.waitMs, 60_000, 'no longer than a timer can');
});

t.test('a slice is no longer than a second of the budget, and a multiple of a group', async (t) => {
  const slice = (bytesPerSecond: number) => new ScrubThrottle(new RateBudget(bytesPerSecond), () => 'free').sliceBytes;
  t.equal(slice(1024 ** 4), 256 * mebibyte);
  t.equal(slice(3 * mebibyte + 5), 3 * mebibyte);
  t.equal(slice(1), mebibyte / 2);
});

t.test('commits are at work while their bytes come in, and a moment longer', async (t) => {
  const activity = new ActivityDetector();
  t.notOk(activity.look(0, 0));
  t.ok(activity.look(5, 1000));
  t.ok(activity.look(5, 1200));
  t.notOk(activity.look(5, 1300));
  t.ok(activity.look(4, 1400), 'one that is gone leaves a change, too');
});

t.test('a slice lets others go first', async (t) => {
  let traffic: Contention = 'busy';
  const pace = new ScrubThrottle(wide(), () => traffic);
  const waiting = pace.next(1);
  t.notOk(await settled(waiting));
  traffic = 'free';
  await waiting;
  traffic = 'paused';
  const paused = pace.next(1);
  t.notOk(await settled(paused));
  traffic = 'free';
  await paused;
});

t.test('others go first for so long, not for ever', async (t) => {
  let looks = 0;
  const busy = () => {
    looks++;
    return 'busy' as const;
  };
  await new ScrubThrottle(wide(), busy, 100).next(1);
  t.equal(looks, 5);
});

t.test('a verification that somebody waits for goes on at once, whatever else there is', async (t) => {
  const budget = new RateBudget(mebibyte);
  const pace = new ScrubThrottle(budget, () => 'paused');
  const waiting = pace.next(100 * mebibyte);
  t.notOk(await settled(waiting));
  pace.expedite();
  await waiting;
  await pace.next(100 * mebibyte);
  t.equal(pace.sliceBytes, 256 * mebibyte);
  pace.cancel();
  await pace.next(1);
  t.notOk(pace.canceled, 'it is not given up any more');
});

t.test('a verification that nobody needs ends', async (t) => {
  const pace = new ScrubThrottle(wide(), () => 'paused');
  const waiting = pace.next(1);
  pace.cancel();
  await t.rejects(waiting, { code: 'SHARD_BUSY' });
  t.ok(pace.canceled);
});
