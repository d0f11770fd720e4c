import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { HangWatch } from '../../src/vram/hang_watch.js';
import { until } from '../support/until.js';

t.test('a hanging call is reported once; calls that return are not', async (t) => {
  let call = 0;
  let found = 0;
  const busy = new HangWatch(
    () => ++call,
    40,
    () => t.fail('each check saw another call'),
  );
  const idle = new HangWatch(
    () => 0,
    40,
    () => t.fail('no call was running'),
  );
  const hung = new HangWatch(
    () => 7,
    40,
    () => {
      found++;
    },
  );
  await until(() => found > 0);
  await sleep(200);
  t.equal(found, 1);
  t.ok(hung.runningMs >= 40, 'the time that the call has been running is known');
  t.equal(busy.runningMs, 0);
  for (const watch of [busy, idle, hung]) watch.stop();
});

t.test('time during which the event loop is blocked does not count', async (t) => {
  let call = 7;
  const watch = new HangWatch(
    () => call,
    800,
    () => t.fail('only one check saw the call'),
  );
  await sleep(150);
  const until = performance.now() + 1500;
  while (performance.now() < until);
  call = 0;
  await sleep(150);
  watch.stop();
  t.pass('no call was reported');
});
