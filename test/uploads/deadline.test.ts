import t from 'tap';
import { idleMs } from '../../src/uploads/deadline.js';

t.test('an upload waits for its client as long as the setting says', async (t) => {
  t.equal(idleMs(60, 0, 0), 60_000);
  t.equal(idleMs(60, 15 * 60_000, 0), 60_000);
  t.equal(idleMs(60, 10 * 3600_000, 2 ** 30), 60_000, 'after ten hours, at more than 1 KiB/s');
});

t.test('a client that only returns with a few bytes does not hold memory for ever', async (t) => {
  t.equal(idleMs(60, 16 * 60_000 - 500, 0), 500);
  t.equal(idleMs(60, 16 * 60_000, 0), 0);
  t.equal(idleMs(60, 16 * 60_000, 30 * 1024), 30_000, 'each KiB buys a second');
  t.equal(idleMs(60, 3600_000, 1024), 0);
});
