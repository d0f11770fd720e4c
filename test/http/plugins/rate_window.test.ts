import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { RateWindows } from '../../../src/http/plugins/rate_window.js';

const count = (windows: RateWindows, key: string, windowMs = 60_000): number | undefined => {
  let seen: number | undefined;
  windows.incr(
    key,
    (_error, result) => {
      seen = result?.current;
    },
    windowMs,
  );
  return seen;
};

t.test('each key has its own count, and each child its own keys', async (t) => {
  const windows = new RateWindows();
  t.same([count(windows, 'a'), count(windows, 'a'), count(windows, 'b'), count(windows, 'a')], [1, 2, 1, 3]);
  t.equal(count(windows.child(), 'a'), 1);
});

t.test('a window that is over starts anew', async (t) => {
  const windows = new RateWindows();
  count(windows, 'a', 5);
  await sleep(10);
  t.equal(count(windows, 'a', 5), 1);
});

t.test('what is counted is bounded, and the oldest is forgotten first', async (t) => {
  const windows = new RateWindows();
  for (let key = 0; key <= 5000; key += 1) count(windows, String(key));
  t.equal(count(windows, '5000'), 2);
  t.equal(count(windows, '1'), 2);
  t.equal(count(windows, '0'), 1);
});
