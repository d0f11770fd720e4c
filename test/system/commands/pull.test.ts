import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { graceMs } from '../../../src/commands/pull/interruption.js';
import { FakePulls, fakeFile, fakeProblem } from '../../support/fake_pulls.js';
import { freePort } from '../../support/free_port.js';
import { preloading, withoutTimersOf } from '../../support/preloading.js';
import { run, runThrough, temporaryDirectory } from '../../support/process.js';
import { until } from '../../support/until.js';

const source = 'hf://org/name:Q4_K_M';

/** Runs `pull` against a worker whose pulls advance as the test says. */
function pull(t: Test, fake: FakePulls, args: readonly string[] = [source], through: readonly string[] = []) {
  const env = { VRAM_WORKER_URL: fake.url };
  return runThrough(t, { directory: temporaryDirectory(t), args: ['pull', ...args], env, through });
}

/** Ends the pull well, once the command follows it. */
async function seal(fake: FakePulls): Promise<void> {
  await until(() => fake.hasStreams, 'the command does not follow the pull');
  const files = fake.only.files.map((file) => ({ ...file, state: 'sealed', received_bytes: file.bytes }));
  fake.change({ state: 'sealed', received_bytes: fake.only.bytes, files }, 'end');
}

t.test('a pull shows its progress on stderr, and its shards on stdout', async (t) => {
  const fake = await FakePulls.start(t);
  const { exited, output, errors } = pull(t, fake, [
    source,
    '--name',
    'hub',
    '--gpu',
    '0,1',
    '--gpu',
    '2',
    '--digest',
    'allow',
  ]);
  await until(() => fake.hasStreams);
  t.match(fake.bodies, [
    {
      pull_id: /^pull-[0-9a-f]{16}$/,
      source: { type: 'hf', repo: 'org/name', quantization: 'Q4_K_M', name: 'hub' },
      ...{ shard_id_prefix: 'name-Q4-K-M', gpu_devices: [0, 1, 2], digest: 'allow' },
    },
  ]);
  fake.change({ received_bytes: 400, bytes_per_second: 100, remaining_seconds: 6 });
  await seal(fake);
  t.equal(await exited, 0);
  t.equal(output(), 'm-0  sealed  0.98 KiB  m.gguf\n');
  t.match(errors(), /^receiving +0% +0 B of 0\.98 KiB\n[\s\S]*received m\.gguf +0\.98 KiB\nsealed +100%/);
  t.notOk(errors().includes('\u001b'), 'a pipe gets no control characters');
});

t.test('--json prints one object a line', async (t) => {
  const fake = await FakePulls.start(t);
  const { exited, output, errors } = pull(t, fake, [source, '--json']);
  await seal(fake);
  t.equal(await exited, 0);
  const lines = output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(lines[0], { event: 'pull', pull: { state: 'receiving' } });
  t.match(lines[1], { event: 'progress', state: 'receiving', bytes: 1000, files: [{ path: 'm.gguf' }] });
  t.match(lines.at(-1), { event: 'end', pull: { state: 'sealed', files: [{ shard_id: 'm-0' }] } });
  t.equal(errors(), '');
});

t.test('the same command joins the pull while it runs, and begins another after its end', async (t) => {
  const fake = await FakePulls.start(t);
  const detached = pull(t, fake, [source, '--detach']);
  t.equal(await detached.exited, 0);
  const { pull_id: pullId } = fake.only;
  t.equal(detached.output(), `${pullId}\n`);
  t.match(detached.errors(), new RegExp(`continues in the worker. Watch it: vram-worker pull --watch ${pullId}`));
  const joined = pull(t, fake);
  await until(() => fake.hasStreams);
  t.equal(fake.bodies.length, 1, 'it begins no other pull');
  fake.change({ state: 'failed', problem: fakeProblem('DIGEST_MISMATCH', 422) }, 'end');
  t.equal(await joined.exited, 1);
  t.match(joined.errors(), /failed: DIGEST_MISMATCH: Detail of DIGEST_MISMATCH\. The bytes are not those/);
  const again = pull(t, fake, [source, '--detach']);
  t.equal(await again.exited, 0);
  t.equal(again.output(), `${pullId}-2\n`);
  const other = pull(t, fake, [source, '--detach', '--model-ref', 'x']);
  t.equal(await other.exited, 0);
  t.notMatch(other.output(), pullId);
});

t.test('a sealed pull whose shards were released begins again', async (t) => {
  const fake = await FakePulls.start(t);
  const first = pull(t, fake);
  await seal(fake);
  t.equal(await first.exited, 0);
  t.equal(await pull(t, fake, [source, '--detach']).exited, 0);
  t.equal(fake.bodies.length, 2);
});

t.test('progress continues after a lost stream, and without events by long polls', async (t) => {
  for (const events of ['cut', 'missing'] as const) {
    const fake = await FakePulls.start(t);
    fake.events = events;
    const { exited, output } = pull(t, fake, [source, '--json']);
    await until(() => fake.requests.filter((request) => request.startsWith('GET')).length >= 6, events);
    fake.change({ state: 'sealed', received_bytes: 1000 });
    t.equal(await exited, 0, events);
    t.match(output(), /"event":"end"/);
  }
});

t.test('progress never falls back', async (t) => {
  const fake = await FakePulls.start(t);
  const { exited, output } = pull(t, fake, [source, '--json']);
  await until(() => fake.hasStreams);
  const states = ['receiving', 'resolving', 'receiving', 'proving'];
  for (const [index, received] of [700, 100, 300, 800].entries()) {
    const files = [fakeFile('m.gguf', { received_bytes: received })];
    fake.change({ received_bytes: received, files, state: `${states[index]}-${index}` });
  }
  await seal(fake);
  t.equal(await exited, 0);
  const shown = output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === 'progress');
  const counts = shown.map((line) => line.received_bytes);
  t.same(
    counts,
    [...counts].sort((a, b) => a - b),
  );
  t.same(shown.at(-1).files[0].received_bytes, 1000);
});

t.test('a worker that is away for a while is retried, and one that restarted gets the pull again', async (t) => {
  const port = await freePort();
  const fake = await FakePulls.start(t, port);
  const { exited, errors } = pull(t, fake);
  await until(() => fake.hasStreams);
  fake.die();
  await until(() => /retrying: cannot reach the worker .*ECONNREFUSED/.test(errors()), 'no retry');
  const next = await FakePulls.start(t, port);
  await seal(next);
  t.equal(await exited, 0);
  t.match(errors(), /the worker no longer has the pull; it begins again/);
});

t.test('a worker that does not come back gives status 69', async (t) => {
  const fake = await FakePulls.start(t);
  const { exited, errors } = pull(t, fake, [source, '--retry-seconds', '1']);
  await until(() => fake.hasStreams);
  fake.die();
  t.equal(await exited, 69);
  t.match(errors(), /vram-worker: cannot reach the worker at .*: start it, or set --url\n$/);
  t.equal(await pull(t, fake).exited, 69, 'at once if it never responded');
});

t.test('a busy or starting worker is retried, and a refusal says what to do', async (t) => {
  const fake = await FakePulls.start(t);
  fake.refusal = { status: 503 };
  const { exited, errors } = pull(t, fake);
  await until(() => /retrying: STARTING: /.test(errors()), 'no retry');
  fake.refusal = undefined;
  await seal(fake);
  t.equal(await exited, 0);
  fake.refusal = { status: 429 };
  t.equal(await pull(t, fake, [source, '--retry-seconds', '0']).exited, 75);
  fake.refusal = { status: 401 };
  const refused = pull(t, fake, [source, '--json']);
  t.equal(await refused.exited, 77);
  t.match(refused.output(), /^{"event":"error","problem":{.*"code":"AUTH_FAILED"/);
});

t.test('Ctrl-C cancels the pull, and waits until it is canceled', async (t) => {
  const fake = await FakePulls.start(t);
  const { child, exited, errors } = pull(t, fake);
  await until(() => fake.hasStreams);
  child.kill('SIGINT');
  t.equal(await exited, 130);
  t.equal(fake.only.state, 'cancelled');
  t.match(
    errors(),
    /Canceling in 2 seconds\. Press Ctrl-C again to leave the pull running[\s\S]*is canceled, and its memory is free/,
  );
});

t.test('a command in a message works as it is', async (t) => {
  const fake = await FakePulls.start(t);
  const directory = temporaryDirectory(t);
  const token = "an operator's token";
  writeFileSync(join(directory, token), 'token');
  const args = ['pull', source, '--detach', '--url', fake.url, '--token-file', token];
  const detached = run(t, directory, args);
  t.equal(await detached.exited, 0);
  const [, command = ''] = /Watch it: vram-worker (.*)\n/.exec(detached.errors()) ?? [];
  fake.authorizations.length = 0;
  const watching = runThrough(t, { directory, args: [], through: ['sh', '-c', `exec "$@" ${command}`, 'sh'] });
  await seal(fake);
  t.equal(await watching.exited, 0);
  t.strictSame(new Set(fake.authorizations), new Set(['Bearer token']));
});

t.test('a second Ctrl-C leaves the pull running, and says how to watch it', async (t) => {
  const fake = await FakePulls.start(t);
  const { child, exited, errors } = pull(t, fake, [source], preloading(withoutTimersOf(graceMs)));
  await until(() => fake.hasStreams);
  child.kill('SIGINT');
  await until(() => /Canceling in/.test(errors()));
  child.kill('SIGINT');
  t.equal(await exited, 3);
  t.equal(fake.only.state, 'receiving');
  const { pull_id: pullId } = fake.only;
  t.match(
    errors(),
    `the pull ${pullId} continues in the worker. Watch it: vram-worker pull --watch ${pullId}. Cancel it: `,
  );
  const watching = pull(t, fake, ['--watch', pullId]);
  await until(() => fake.hasStreams);
  const canceling = pull(t, fake, ['--cancel', pullId]);
  t.equal(await canceling.exited, 0);
  t.equal(await watching.exited, 1);
  t.equal(await pull(t, fake, ['--watch', 'unknown']).exited, 1);
});

t.test('SIGTERM cancels at once', async (t) => {
  const fake = await FakePulls.start(t);
  const { child, exited } = pull(t, fake);
  await until(() => fake.hasStreams);
  child.kill('SIGTERM');
  t.equal(await exited, 143);
  t.equal(fake.only.state, 'cancelled');
});

t.test('if stdout is closed, the command ends with status 74, and says that the pull continues', async (t) => {
  const fake = await FakePulls.start(t);
  const { child, exited, errors } = pull(t, fake, [source, '--json']);
  await until(() => fake.hasStreams);
  child.stdout?.destroy();
  for (let n = 0; n < 3; n++) fake.change({ state: `state-${n}` });
  t.equal(await exited, 74);
  t.match(errors(), /the pull pull-\S+ continues in the worker/);
});

t.test('control characters of a source do not reach the output', async (t) => {
  const fake = await FakePulls.start(t);
  fake.first = { files: [fakeFile('a\u001b[2J\u202e\u009b31m.gguf')] };
  const { exited, output, errors } = pull(t, fake);
  await seal(fake);
  t.equal(await exited, 0);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
  t.notMatch(output() + errors(), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  t.match(output(), 'a\\u{1b}[2J\\u{202e}\\u{9b}31m.gguf');
});

t.test('invalid usage exits with status 64 and says what is wrong', async (t) => {
  const fake = await FakePulls.start(t);
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /needs one of SOURCE, --watch PULL and --cancel PULL/],
    [[source, '--watch', 'x'], /needs one of SOURCE/],
    [['org/name'], /no type: use hf:\/\/org\/name/],
    [[source, source], /unexpected argument hf:/],
    [['file:x', '--name', 'n'], /--name has no effect/],
    [[source, '--gpu', 'x'], /--gpu must be/],
    [[source, '--expect', 'sha256:12'], /--expect must be sha256:/],
    [[source, '--digest', 'maybe'], /--digest must be require or allow/],
    [[source, '--bytes-per-second', '0'], /--bytes-per-second must be an integer from 1/],
    [[source, '--shard-prefix', 'a b'], /--shard-prefix must be/],
  ];
  for (const [args, message] of cases) {
    const { exited, errors } = pull(t, fake, args);
    t.equal(await exited, 64, args.join(' '));
    t.match(errors(), message);
  }
  t.same(fake.requests, []);
});
