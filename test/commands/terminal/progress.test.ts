import fc from 'fast-check';
import t from 'tap';
import { JsonReporter } from '../../../src/commands/terminal/json_reporter.js';
import { LiveLines, type TerminalStream } from '../../../src/commands/terminal/live_lines.js';
import { PlainReporter } from '../../../src/commands/terminal/plain_reporter.js';
import { type Progress, ProgressTracker } from '../../../src/commands/terminal/progress.js';
import { plainLine, progressLines } from '../../../src/commands/terminal/progress_lines.js';
import { widthOf } from '../../../src/commands/terminal/text_width.js';

const mebibyte = 1024 ** 2;

const file = (name: string, receivedBytes: number, state: 'active' | 'done' | 'waiting' = 'active') => ({
  ...{ name, state, bytes: 100 * mebibyte, receivedBytes, bytesPerSecond: 10 * mebibyte },
});
const progress: Progress = {
  state: 'receiving',
  completed: 'received',
  bytes: 300 * mebibyte,
  receivedBytes: 150 * mebibyte,
  bytesPerSecond: 25 * mebibyte,
  remainingSeconds: 6,
  files: [file('a.gguf', 100 * mebibyte, 'done'), file('b.gguf', 50 * mebibyte), file('c.gguf', 0, 'waiting')],
};

t.test('a terminal shows the bytes, the rate and the time left, for the whole and each active file', async (t) => {
  t.strictSame(progressLines(progress, 80, 24), [
    'receiving  1 of 3 files',
    '[==============>                ]   50%  150 MiB of 300 MiB  25.0 MiB/s  6s left',
    '  b.gguf     50%  50.0 MiB of 100 MiB  10.0 MiB/s  5s left',
  ]);
});

t.test('a narrow terminal shows what fits, the share first', async (t) => {
  t.strictSame(progressLines(progress, 20, 24), ['receiving..f 3 files', ' 50%  6s left', '  b.gguf     50%']);
  t.strictSame(progressLines(progress, 10, 24), ['rece..iles', ' 50%', '  b.gguf']);
});

t.test('the lines fit any terminal, with any name', async (t) => {
  const names = fc.string({ unit: 'binary', maxLength: 300 });
  fc.assert(
    fc.property(names, fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 6 }), (name, columns, rows) => {
      const files = [name, `${name}2`, `${name}3`].map((name) => file(name, 1));
      const lines = progressLines({ ...progress, files }, columns, rows);
      t.ok(lines.length <= rows);
      for (const line of lines) {
        t.ok(widthOf(line) <= columns, `${JSON.stringify(line)} fits ${columns}`);
        t.notOk(/[\p{Cc}\p{Cf}]/u.test(line));
      }
    }),
    { numRuns: 100 },
  );
});

t.test('progress never falls back, and has a measured rate', async (t) => {
  let nowMs = 0;
  const tracker = new ProgressTracker(() => nowMs);
  const report = (receivedBytes: number, bytes: number | undefined = 100) => {
    const files = [{ name: 'a', state: 'active' as const, bytes: 100, receivedBytes }];
    return tracker.next({ state: 'receiving', completed: 'received', bytes, receivedBytes, files });
  };
  t.match(report(0), { receivedBytes: 0, bytesPerSecond: undefined, remainingSeconds: undefined });
  nowMs = 1000;
  t.match(report(20), { receivedBytes: 20, bytesPerSecond: 20, remainingSeconds: 4, files: [{ bytesPerSecond: 20 }] });
  nowMs = 2000;
  t.match(
    report(5),
    { receivedBytes: 20, bytesPerSecond: 10, files: [{ receivedBytes: 20 }] },
    'after a repeated file',
  );
  nowMs = 3000;
  t.match(report(120), { receivedBytes: 100, files: [{ receivedBytes: 100 }] }, 'never above the size');
  t.equal(plainLine({ ...progress, bytes: undefined }), 'receiving  1 of 3 files');
});

/** A terminal that records what is written to it, and a clock. */
function fakeTerminal(columns: number, rows: number) {
  const writes: string[] = [];
  const listeners = new Set<() => void>();
  const stream = {
    columns,
    rows,
    write: (text: string) => {
      writes.push(text);
      return true;
    },
    on: (_: string, listener: () => void) => listeners.add(listener),
    off: (_: string, listener: () => void) => listeners.delete(listener),
  };
  const time = { nowMs: 0, due: undefined as (() => void) | undefined };
  const clock = {
    nowMs: () => time.nowMs,
    schedule: (work: () => void) => {
      time.due = work;
      return setTimeout(() => undefined, 0);
    },
  };
  return { stream: stream as unknown as TerminalStream, writes, listeners, time, clock };
}

t.test('the lines are redrawn at most ten times a second, with the newest state', async (t) => {
  const { stream, writes, listeners, time, clock } = fakeTerminal(10, 5);
  const lines = new LiveLines(stream, clock);
  for (let n = 0; n < 50; n++) lines.show(() => [`n ${n}`]);
  t.strictSame(writes, ['\rn 0\u001b[K\n\r\u001b[J']);
  time.nowMs = 100;
  time.due?.();
  t.strictSame(writes.slice(1), ['\u001b[1A\rn 49\u001b[K\n\r\u001b[J']);
  lines.print(['message']);
  t.strictSame(writes.slice(2), ['\u001b[1A\rmessage\u001b[K\n\rn 49\u001b[K\n\r\u001b[J']);
  lines.show(() => ['end']);
  lines.stop();
  t.equal(writes.at(-1), '\u001b[1A\rend\u001b[K\n\r\u001b[J', 'the last state is drawn');
  t.equal(listeners.size, 0);
});

t.test('a terminal that became narrower has wrapped the lines', async (t) => {
  const { stream, writes, listeners, time, clock } = fakeTerminal(30, 5);
  const lines = new LiveLines(stream, clock);
  lines.show((columns) => ['x'.repeat(columns)]);
  Object.assign(stream, { columns: 10 });
  time.nowMs = 1000;
  for (const listener of listeners) listener();
  t.equal(writes.at(-1), '\u001b[3A\rxxxxxxxxx\u001b[K\n\r\u001b[J');
  lines.stop();
});

t.test('plain lines come for each state, each completed file, and every five seconds', async (t) => {
  const written: string[] = [];
  let nowMs = 0;
  const reporter = new PlainReporter(
    (text) => written.push(text),
    () => nowMs,
  );
  reporter.show(progress);
  reporter.show(progress);
  nowMs = 4999;
  reporter.show(progress);
  nowMs = 5000;
  reporter.show({ ...progress, files: progress.files.map((file) => ({ ...file, state: 'done' as const })) });
  reporter.show({ ...progress, state: 'pro\u001bving' });
  t.strictSame(written, [
    'received a.gguf  100 MiB\n',
    'receiving  1 of 3 files   50%  150 MiB of 300 MiB  25.0 MiB/s  6s left\n',
    'received b.gguf  100 MiB\n',
    'received c.gguf  100 MiB\n',
    'receiving  3 of 3 files   50%  150 MiB of 300 MiB  25.0 MiB/s  6s left\n',
    'pro\\u{1b}ving  1 of 3 files   50%  150 MiB of 300 MiB  25.0 MiB/s  6s left\n',
  ]);
});

t.test('JSON has one object a line, at most one a second in a state', async (t) => {
  const written: string[] = [];
  let nowMs = 0;
  const reporter = new JsonReporter(
    (text) => written.push(text),
    () => nowMs,
  );
  reporter.show(progress);
  reporter.show(progress);
  nowMs = 1000;
  reporter.show(progress);
  reporter.note('a\nb');
  t.equal(written.length, 3);
  t.match(JSON.parse(written[0] ?? ''), {
    ...{ event: 'progress', state: 'receiving', bytes: 300 * mebibyte, received_bytes: 150 * mebibyte },
    ...{ bytes_per_second: 25 * mebibyte, remaining_seconds: 6, files: { length: 3 } },
  });
  t.strictSame(JSON.parse(written[2] ?? ''), { event: 'note', text: 'a\nb' });
});
