import t from 'tap';
import { run, temporaryDirectory } from '../../support/process.js';

/** For each command, an option that takes a value, and arguments with one too many. */
const commands: Readonly<Record<string, readonly [option: string | undefined, extra: string | undefined]>> = {
  serve: [undefined, 'a'],
  keep: ['--hold-seconds', 'a'],
  health: [undefined, 'a'],
  pull: ['--expect', 'file:a b'],
  push: ['--gpu', undefined],
  plan: ['--name', 'file:a b'],
  ls: ['--model-ref', 'a'],
  verify: ['--url', undefined],
  rm: ['--url', undefined],
  wait: ['--model-ref', '--model-ref=m a'],
  'handle verify': ['--jwks', 'a b'],
  'audit verify': ['--checkpoint', undefined],
};

/** Commands whose message names what they take. */
const takes: Readonly<Record<string, string>> = {
  plan: 'plan takes one SOURCE',
  'handle verify': 'handle verify takes one handle',
};

for (const [command, [option, extra]] of Object.entries(commands)) {
  t.test(`${command}: invalid arguments exit with status 64, and one sentence says which`, async (t) => {
    const directory = temporaryDirectory(t);
    const refused = async (args: string, message: string) => {
      const { exited, errors } = run(t, directory, `${command} ${args}`.split(' '));
      t.equal(await exited, 64, args);
      t.equal(errors().split('\n\n')[0], `vram-worker: ${message}`);
    };
    await refused('--typo a', 'unknown option --typo');
    if (option !== undefined) await refused(option, `${option} needs a value`);
    if (extra !== undefined) await refused(extra, takes[command] ?? `unexpected argument ${extra.split(' ').at(-1)}`);
  });
}

t.test('an option that takes no value refuses one, and a value with a hyphen needs the form with =', async (t) => {
  const json = run(t, temporaryDirectory(t), ['ls', '--json=yes']);
  t.equal(await json.exited, 64);
  t.match(json.errors(), /^vram-worker: --json takes no value\n\nUsage: /);
  const model = run(t, temporaryDirectory(t), ['ls', '--model-ref', '--json']);
  t.equal(await model.exited, 64);
  t.match(model.errors(), /^vram-worker: --model-ref needs a value\n\nUsage: /, '--json is an option');
  const hyphen = run(t, temporaryDirectory(t), ['ls', '--model-ref', '-7b']);
  t.equal(await hyphen.exited, 64);
  t.match(hyphen.errors(), /^vram-worker: --model-ref needs a value: if it is -7b, write --model-ref=-7b\n\nUsage: /);
});
