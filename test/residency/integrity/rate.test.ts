import t from 'tap';
import { ScrubRate } from '../../../src/residency/integrity/rate.js';
import { Clocks } from '../../support/clock.js';

const mebibyte = 1024 * 1024;

t.test('the wait grows with the bytes taken beyond the rate, up to a minute', async (t) => {
  const rate = new ScrubRate(mebibyte);
  t.equal(rate.waitMs, 0);
  rate.take(mebibyte / 2);
  t.ok(rate.waitMs > 0 && rate.waitMs <= 500);
  rate.take(mebibyte);
  t.ok(rate.waitMs > 500 && rate.waitMs <= 1500, 'bytes taken too early extend the next wait');
  const tiny = new ScrubRate(1);
  tiny.take(2 ** 40);
  t.equal(tiny.waitMs, 60_000, 'a wait is at most a minute, which fits a timer');
});

t.test('idle time gives no credit, and other work gets three times the duration of a slice', async (t) => {
  const clocks = Clocks.take(t);
  const rate = new ScrubRate(mebibyte);
  clocks.pass(100_000);
  rate.take(mebibyte);
  t.ok(rate.waitMs > 500 && rate.waitMs <= 1000);
  rate.record(mebibyte, 1000);
  t.ok(rate.restMs > 2000 && rate.restMs <= 3000);
  clocks.pass(3000);
  t.equal(rate.waitMs, 0);
  t.equal(rate.restMs, 0);
});

t.test('the expected time follows the limit, or the measured speed if that is lower', async (t) => {
  const rate = new ScrubRate(1000);
  t.equal(rate.msPerByte, 1);
  t.equal(rate.busyMsPerByte, 1);
  rate.record(1000, 500);
  t.equal(rate.msPerByte, 1, 'the device is faster than the limit');
  t.equal(rate.busyMsPerByte, 2, 'a quarter of the time is slower than the limit');
  rate.record(1000, 5500);
  t.equal(rate.msPerByte, 3);
  rate.beginPass();
  t.equal(rate.msPerByte, 3);
  rate.record(1000, 1000);
  t.equal(rate.msPerByte, 2, 'a new pass counts more than earlier ones');
});
