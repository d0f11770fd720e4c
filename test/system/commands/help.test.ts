import t from 'tap';
import { run, temporaryDirectory } from '../../support/process.js';

t.test('--help of a command shows that command, and --help of the program shows all', async (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['keep', 'health', 'handle verify', 'audit verify']) {
    const { exited, output } = run(t, directory, [...name.split(' '), '--help']);
    t.equal(await exited, 0, name);
    t.match(output(), new RegExp(`^Usage: vram-worker ${name}`));
    t.match(output(), new RegExp(`\n  ${name} +[A-Z]`), 'what the command does');
    t.notMatch(output(), /vram-worker serve|WORKER_BIND_ADDR/);
  }
  const all = run(t, directory, ['--help']);
  t.equal(await all.exited, 0);
  for (const name of ['serve', 'keep', 'health', 'pull', 'wait', 'handle verify', 'audit verify']) {
    t.match(all.output(), new RegExp(`vram-worker ${name}[\\s\\S]*\n  ${name} +[A-Z]`));
  }
});

t.test('invalid usage: a message in lower case, and the usage of the command', async (t) => {
  const cases = [
    [['--fast'], /^vram-worker: unknown option --fast\n\nUsage: vram-worker serve/],
    [['run'], /^vram-worker: unknown command run\n\nUsage: vram-worker serve/],
    [['keep', '--fast'], /^vram-worker: unknown option --fast\n\nUsage: vram-worker keep .*\n( .*\n)*More: --help\n$/],
    [['handle', 'verify'], /^vram-worker: handle verify takes one handle\n\nUsage: vram-worker handle verify /],
    [['pull', 'model'], /^vram-worker: the source has no type: use file:.*\n\nUsage: vram-worker pull /],
  ] as const;
  for (const [args, message] of cases) {
    const { exited, errors } = run(t, temporaryDirectory(t), args);
    t.equal(await exited, 64, args.join(' '));
    t.match(errors(), message);
  }
});
