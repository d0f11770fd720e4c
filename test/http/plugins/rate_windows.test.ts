import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { RateWindows } from '../../../src/http/plugins/rate_windows.js';

t.test('each key has its own count', async (t) => {
  const windows = new RateWindows();
  const counts = ['a', 'a', 'b', 'a'].map((key) => windows.add(key, 60_000).count);
  t.same(counts, [1, 2, 1, 3]);
});

t.test('an expired window restarts at one', async (t) => {
  const windows = new RateWindows();
  windows.add('a', 5);
  await sleep(10);
  t.same(windows.add('a', 5), { count: 1, remainingMs: 5 });
});

t.test('the number of keys is limited, and the oldest key is forgotten first', async (t) => {
  const windows = new RateWindows();
  const count = (key: string) => windows.add(key, 60_000).count;
  for (let key = 0; key <= 5000; key += 1) count(String(key));
  t.equal(count('5000'), 2);
  t.equal(count('1'), 2);
  t.equal(count('0'), 1);
});
