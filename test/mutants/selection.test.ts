import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { tests } from '../support/paths.js';

const script = join(tests, 'mutants', 'run.mjs');
const list = (...args: string[]) => spawnSync(process.execPath, [script, '--list', ...args], { encoding: 'utf8' });

t.test('the targets, their tests and the equivalent mutants match the code', async (t) => {
  const { status, stdout, stderr } = list();
  t.equal(status, 0, stderr);
  t.match(stdout, /^src\/seal\/jws\.ts: [1-9]/m);
});

t.test('a file without tests is refused', async (t) => {
  const { status, stderr } = list('src/main.cts');
  t.equal(status, 1);
  t.match(stderr, /src\/main\.cts has no tests/);
});
