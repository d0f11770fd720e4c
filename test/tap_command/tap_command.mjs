// `npx tap [FILE…]`: compiles the tests and runs them with test/run.mjs.
import { spawnSync } from 'node:child_process';
import { join, relative, resolve } from 'node:path';

const root = join(import.meta.dirname, '../..');
const paths = process.argv.slice(2).map((path) => relative(root, resolve(path)));

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

run('npm', ['run', '--silent', 'build:test']);
run(process.execPath, ['test/run.mjs', ...(paths.length > 0 ? paths : ['main'])]);
