import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { graceMs } from '../../../src/commands/pull/interruption.js';
import { FakePulls, fakeFile } from '../../support/fake_pulls.js';
import { unlessInstalled } from '../../support/installed.js';
import { main } from '../../support/paths.js';
import { importing, withoutTimersOf } from '../../support/preloading.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { Tmux } from '../../support/tmux.js';
import { until } from '../../support/until.js';

const inTmux = unlessInstalled('tmux', 'script');

/** Runs a pull in a terminal. The terminal stays after its end, and shows the exit status. */
function pull(t: Test, fake: FakePulls, size: { columns: number; rows: number }, { env = '', flags = '' } = {}) {
  const typescript = join(temporaryDirectory(t), 'typescript');
  const node = `env -u NODE_OPTIONS -u TMUX ${env} VRAM_WORKER_URL=${fake.url} '${process.execPath}' ${flags} '${main}'`;
  const command = `${node} pull hf://org/name; echo "status $?"`;
  // script(1) records every byte that reaches the terminal.
  const tmux = Tmux.start(t, size, `script -q -f -c '${command.replaceAll("'", `'\\''`)}' '${typescript}'; sleep 1000`);
  return { tmux, bytes: () => readFileSync(typescript, 'latin1') };
}

const showed = (tmux: Tmux, pattern: RegExp) =>
  until(() => pattern.test(tmux.screen().join('\n')), `the terminal does not show ${pattern}`);

const files = (received: number) => [
  fakeFile('model-00001-of-00003.gguf', { shard_id: 'm-0', received_bytes: received }),
  fakeFile('model-00002-of-00003.gguf', { shard_id: 'm-1', received_bytes: received / 2 }),
  fakeFile('model-00003-of-00003.gguf', { shard_id: 'm-2', state: 'waiting' }),
];

async function seal(fake: FakePulls): Promise<void> {
  const sealed = fake.only.files.map((file) => ({ ...file, state: 'sealed', received_bytes: file.bytes }));
  fake.change({ state: 'sealed', received_bytes: fake.only.bytes, files: sealed }, 'end');
}

t.test('a terminal shows a bar for the whole and a line for each file, in place', inTmux, async (t) => {
  const fake = await FakePulls.start(t);
  fake.first = { bytes: 3000, files: files(0) };
  const { tmux, bytes } = pull(t, fake, { columns: 100, rows: 20 });
  await until(() => fake.hasStreams);
  fake.change({ received_bytes: 750, bytes_per_second: 100, remaining_seconds: 23, files: files(500) });
  await showed(tmux, /\[=+>? +\] {3}25% {2}750 B of 2\.93 KiB {2}100 B\/s {2}23s left/);
  await showed(tmux, /model-00001-of-00003\.gguf {3}50% {2}500 B of 0\.98 KiB/);
  t.equal(tmux.screen().length, 4, 'the lines are redrawn in place');
  await seal(fake);
  await showed(tmux, /status 0/);
  t.match(tmux.screen(), [
    'sealed  3 of 3 files',
    /\] {2}100% {2}2\.93 KiB of 2\.93 KiB$/,
    /^m-0 +sealed/,
    /^m-1/,
    /^m-2/,
    'status 0',
  ]);
  t.ok(tmux.hasCursor);
  t.notOk(bytes().includes('\u001b[?25l'), 'the cursor is never hidden');
  t.notMatch(bytes().replaceAll('\u001b', 'ESC'), /ESC\[[0-9;]*m/, 'there are no colors');
});

t.test('the lines fit narrow and low terminals, also with long names, and after a resize', inTmux, async (t) => {
  const fake = await FakePulls.start(t);
  const name = `${'very-long-name-模型-'.repeat(20)}.gguf`;
  fake.first = {
    bytes: 3000,
    files: [...files(0), fakeFile(name), fakeFile(`2${name}`), fakeFile('\u001b]0;x\u0007y')],
  };
  const { tmux } = pull(t, fake, { columns: 20, rows: 6 });
  await until(() => fake.hasStreams);
  await showed(tmux, /and \d more files/);
  t.ok(tmux.screen().length <= 6, 'no line has left the screen');
  for (const line of tmux.screen()) t.ok(line.length <= 19, line);
  tmux.resize(60, 20);
  for (let received = 0; received <= 900; received += 300) fake.change({ received_bytes: received });
  await showed(tmux, /u\{1b\}\]0;x/);
  tmux.resize(15, 8);
  fake.change({ received_bytes: 1200 });
  await showed(tmux, / 40%/);
  await seal(fake);
  await showed(tmux, /status 0/);
});

t.test('there are at most ten redraws a second', inTmux, async (t) => {
  const fake = await FakePulls.start(t);
  const { tmux, bytes } = pull(t, fake, { columns: 80, rows: 20 });
  await until(() => fake.hasStreams);
  const startedMs = performance.now();
  for (let received = 1; received <= 500; received++) {
    fake.change({ received_bytes: received });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await showed(tmux, / 50%/);
  const seconds = (performance.now() - startedMs) / 1000;
  const redraws = bytes().split('\u001b[J').length;
  t.ok(redraws <= 10 * seconds + 5, `${redraws} redraws in ${seconds} s`);
  await seal(fake);
  await showed(tmux, /status 0/);
});

t.test('Ctrl-C in a terminal cancels, and twice leaves the pull running', inTmux, async (t) => {
  const fake = await FakePulls.start(t);
  const once = pull(t, fake, { columns: 120, rows: 20 });
  await until(() => fake.hasStreams);
  once.tmux.press('C-c');
  await showed(once.tmux, /Canceling in 2 seconds\. Press Ctrl-C again/);
  await showed(once.tmux, /is canceled, and its memory is free\n.*status 130/);
  t.equal(fake.only.state, 'cancelled');
  const other = await FakePulls.start(t);
  const twice = pull(t, other, { columns: 120, rows: 20 }, { flags: importing(withoutTimersOf(graceMs)) });
  await until(() => other.hasStreams);
  twice.tmux.press('C-c');
  await showed(twice.tmux, /Press Ctrl-C again/);
  twice.tmux.press('C-c');
  await showed(twice.tmux, /continues in the worker\. Watch it: vram-worker pull --watch pull-[\s\S]*status 3/);
  t.equal(other.only.state, 'receiving');
});

t.test('a terminal without capabilities, or stderr in a file, gets plain lines', inTmux, async (t) => {
  const fake = await FakePulls.start(t);
  const { tmux, bytes } = pull(t, fake, { columns: 80, rows: 20 }, { env: 'TERM=dumb NO_COLOR=1' });
  await until(() => fake.hasStreams);
  await seal(fake);
  await showed(tmux, /status 0/);
  t.notOk(bytes().includes('\u001b'));
});
