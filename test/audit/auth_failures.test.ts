import fc from 'fast-check';
import t from 'tap';
import { AuthFailures, type FailureEntry } from '../../src/audit/auth_failures.js';

/** An AuthFailures with a manual clock, and the entries that it writes. */
function startFailures() {
  const written: (FailureEntry & { readonly at: number; readonly requestId: string | null })[] = [];
  const clock = { ms: 0 };
  const failures = new AuthFailures({
    write: (entry, requestId) => written.push({ ...entry, at: clock.ms, requestId }),
    monotonicMs: () => clock.ms,
  });
  return { failures, written, clock };
}

t.test('the first failure is written at once, and the count of later ones after a minute', async (t) => {
  const { failures, written, clock } = startFailures();
  failures.add('f1', '10.0.0.1', 'r1');
  t.same(written, [{ token_fingerprint: 'f1', remote_address: '10.0.0.1', count: 1, at: 0, requestId: 'r1' }]);
  for (let index = 0; index < 1000; index++) failures.add('f1', '10.0.0.1', 'r');
  clock.ms = 59_999;
  failures.tick();
  t.equal(written.length, 1);
  clock.ms = 60_000;
  failures.tick();
  t.same(written.slice(1), [
    { token_fingerprint: 'f1', remote_address: '10.0.0.1', count: 1000, at: 60_000, requestId: null },
  ]);
  failures.add('f1', '10.0.0.1', 'r');
  clock.ms = 119_999;
  failures.tick();
  t.equal(written.length, 2, 'the next period starts at the last entry');
  clock.ms = 120_000;
  failures.tick();
  t.match(written.slice(2), [{ count: 1 }]);
  clock.ms = 180_000;
  failures.tick();
  t.equal(written.length, 3, 'no entry without a failure');
  failures.add('f1', '10.0.0.1', 'r2');
  t.match(written.slice(3), [{ count: 1, requestId: 'r2' }], 'a failure after a quiet minute is written at once');
});

t.test('each pair of token and address has a series; all pairs beyond sixteen share one', async (t) => {
  const { failures, written, clock } = startFailures();
  for (let index = 0; index < 8; index++) {
    failures.add('f1', `10.0.0.${index}`, 'r');
    failures.add(`g${index}`, '10.0.0.9', 'r');
  }
  t.equal(written.length, 16);
  t.ok(written.every(({ token_fingerprint, remote_address }) => token_fingerprint !== null && remote_address !== null));
  for (let index = 0; index < 500; index++) failures.add(`h${index}`, `10.1.0.${index}`, 'r');
  t.match(written.slice(16), [{ token_fingerprint: null, remote_address: null, count: 1 }]);
  failures.add('f1', '10.0.0.7', 'r');
  failures.flush();
  t.same(
    written.slice(17).map(({ token_fingerprint, count }) => [token_fingerprint, count]),
    [
      ['f1', 1],
      [null, 499],
    ],
    'flush writes all counts',
  );
  clock.ms = 60_000;
  failures.tick();
  t.equal(written.length, 19);
});

t.test('a new series replaces one without recent failures', async (t) => {
  const { failures, written, clock } = startFailures();
  for (let index = 0; index < 18; index++) failures.add(`f${index}`, 'a', 'r');
  t.equal(written.length, 17);
  clock.ms = 60_000;
  for (let index = 0; index < 17; index++) failures.add(`g${index}`, 'a', 'r');
  const later = written
    .slice(17)
    .map(({ token_fingerprint, count, requestId }) => [token_fingerprint, count, requestId]);
  const first = Array.from({ length: 16 }, (_, index) => [`g${index}`, 1, 'r']);
  t.same(later, [[null, 1, null], ...first], 'the count of the shared series, then sixteen new series');
});

const step = fc.record({
  who: fc.nat(40),
  count: fc.integer({ min: 1, max: 50 }),
  waitMs: fc.constantFrom(0, 1, 500, 59_999, 60_000, 90_000),
});

t.test('no failure is lost, and no minute has more than 17 entries', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { failures, written, clock } = startFailures();
      let added = 0;
      for (const { who, count, waitMs } of steps) {
        for (let index = 0; index < count; index++) failures.add(`f${who}`, 'a', 'r');
        added += count;
        clock.ms += waitMs;
        failures.tick();
      }
      const inMinuteFrom = (at: number) => written.filter((entry) => entry.at >= at && entry.at < at + 60_000).length;
      const most = Math.max(0, ...written.map(({ at }) => inMinuteFrom(at)));
      failures.flush();
      return most <= 17 && added === written.reduce((sum, { count }) => sum + count, 0);
    }),
  );
});
