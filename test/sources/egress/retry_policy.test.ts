import fc from 'fast-check';
import t from 'tap';
import type { RetryRule } from '../../../src/sources/egress/fault.js';
import { type FailedAttempt, progressBytes, RetryPolicy } from '../../../src/sources/egress/retry_policy.js';

const failure = (changes: Partial<FailedAttempt> = {}): FailedAttempt => ({
  rule: 'backoff',
  bytes: 0,
  requestedMs: undefined,
  nowMs: 0,
  ...changes,
});

/** The waits of failures in a row; `stop` at the end. */
function waits(policy: RetryPolicy, count: number, changes: Partial<FailedAttempt> = {}): (number | 'stop')[] {
  return Array.from({ length: count }, () => {
    const decision = policy.next(failure(changes));
    return decision.kind === 'retry' ? decision.waitMs : 'stop';
  });
}

t.test('eight attempts without progress end the transfer; their longest waits double from 0.5 s', async (t) => {
  const longest = waits(new RetryPolicy(() => 1), 8);
  t.strictSame(longest, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 'stop']);
  t.strictSame(waits(new RetryPolicy(() => 0), 8), [0, 0, 0, 0, 0, 0, 0, 'stop'], 'full jitter begins at 0');
});

t.test('progress resets the count of failures and is followed at once', async (t) => {
  const policy = new RetryPolicy(() => 1);
  waits(policy, 7);
  t.strictSame(policy.next(failure({ bytes: progressBytes })), { kind: 'retry', waitMs: 0 });
  t.strictSame(waits(policy, 8), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 'stop']);
});

t.test('less than 256 KiB is no progress', async (t) => {
  t.equal(waits(new RetryPolicy(() => 0), 8, { bytes: progressBytes - 1 }).at(-1), 'stop');
});

t.test('after 64 reconnects in a minute each waits 0.5 s, until the minute is over', async (t) => {
  const policy = new RetryPolicy(() => 1);
  const progress = { bytes: progressBytes };
  t.strictSame(waits(policy, 64, progress), Array(64).fill(0));
  t.strictSame(waits(policy, 3, { ...progress, nowMs: 59_999 }), [500, 500, 500]);
  t.strictSame(waits(policy, 1, { ...progress, nowMs: 60_000 }), [0]);
});

t.test('the wait that a source asks for replaces the own one, and counts as a failure', async (t) => {
  t.strictSame(waits(new RetryPolicy(() => 1), 8, { requestedMs: 56_000 }), [...Array(7).fill(56_000), 'stop']);
});

t.test('renewed credentials get one attempt, and another one after progress', async (t) => {
  const policy = new RetryPolicy(() => 1);
  t.strictSame(waits(policy, 2, { rule: 'once' }), [0, 'stop']);
  policy.next(failure({ bytes: progressBytes }));
  t.strictSame(waits(policy, 2, { rule: 'once' }), [0, 'stop']);
});

const attempts = fc.array(
  fc.record({
    rule: fc.constantFrom<RetryRule>('never', 'backoff', 'once'),
    bytes: fc.oneof(fc.constant(0), fc.nat(2 * progressBytes)),
    requestedMs: fc.option(fc.nat(100_000), { nil: undefined }),
    passedMs: fc.nat(70_000),
  }),
  { maxLength: 200 },
);

t.test(
  'in any history: no wait is negative or longer than allowed, and eight failures in a row always stop',
  async () => {
    fc.assert(
      fc.property(attempts, fc.nat(1000), (history, seed) => {
        let state = seed;
        const random = () => {
          state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
          return state / 2 ** 31;
        };
        const policy = new RetryPolicy(random);
        let [nowMs, failures] = [0, 0];
        for (const { rule, bytes, requestedMs, passedMs } of history) {
          nowMs += passedMs;
          const decision = policy.next({ rule, bytes, requestedMs, nowMs });
          if (bytes >= progressBytes && rule !== 'never') failures = 0;
          else if (rule === 'backoff') failures += 1;
          if (rule === 'never' && decision.kind !== 'stop') return false;
          if (rule === 'backoff' && decision.kind === 'stop' && failures < 8) return false;
          if (rule === 'backoff' && failures >= 8 && decision.kind !== 'stop') return false;
          if (decision.kind === 'stop') continue;
          const limit = requestedMs ?? 30_000;
          if (!(decision.waitMs >= 0 && decision.waitMs <= limit)) return false;
        }
        return true;
      }),
    );
  },
);

t.test('in any history: a minute has at most 64 reconnects without a wait', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(5000), { minLength: 100, maxLength: 300 }), (pauses) => {
      const policy = new RetryPolicy(Math.random);
      const immediate: number[] = [];
      let nowMs = 0;
      for (const pauseMs of pauses) {
        nowMs += pauseMs % 7 === 0 ? pauseMs : 1;
        const decision = policy.next(failure({ bytes: progressBytes, nowMs }));
        if (decision.kind === 'retry' && decision.waitMs === 0) immediate.push(nowMs);
      }
      return immediate.every(
        (atMs) => immediate.filter((other) => other > atMs - 60_000 && other <= atMs).length <= 64,
      );
    }),
  );
});
