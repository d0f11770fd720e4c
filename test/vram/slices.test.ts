import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { digestSliceBytes, FullSpeed } from '../../src/vram/slices.js';

t.test('slices become longer on a quick device, up to a limit', async (t) => {
  const throttle = new FullSpeed();
  t.equal(throttle.sliceBytes, digestSliceBytes);
  for (let slice = 0; slice < 100; slice++) await throttle.next();
  t.equal(throttle.sliceBytes, 8 * digestSliceBytes);
});

t.test('a slow device keeps short slices, so that damage is reported soon', async (t) => {
  const throttle = new FullSpeed();
  for (let slice = 0; slice < 5; slice++) {
    await throttle.next();
    await sleep(25);
  }
  t.equal(throttle.sliceBytes, digestSliceBytes);
});
