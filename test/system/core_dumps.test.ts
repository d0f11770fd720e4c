import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { root } from '../support/paths.js';
import { temporaryDirectory } from '../support/process.js';

const module = join(root, 'dist', 'vram', 'process.js');

/** Runs a program in which `forbid` is ours. */
const node = (program: string) =>
  execFileSync(
    process.execPath,
    ['--input-type=module', '-e', `import { forbidCoreDumps as forbid } from '${module}'; ${program}`],
    {
      encoding: 'utf8',
    },
  ).trim();

t.test('no core may be written, and the process is not dumpable', async (t) => {
  const limits = node(
    `import { readFileSync } from 'node:fs'; forbid(); console.log(readFileSync('/proc/self/limits', 'utf8'));`,
  );
  t.match(limits, /Max core file size +0 +0 /);
  const dumpable = (before: string) =>
    node(
      `import koffi from 'koffi'; ${before}; console.log(koffi.load(null).func('int prctl(int, unsigned long)')(3, 0));`,
    );
  t.equal(dumpable(''), '1', 'PR_GET_DUMPABLE says what it is by default');
  t.equal(dumpable('forbid()'), '0');
  t.equal(node('console.log(forbid())'), 'true');
});

t.test('a process that aborts leaves no core, even if it started with an unlimited core size', async (t) => {
  const abort = (program: string) => {
    const directory = temporaryDirectory(t);
    const script = `ulimit -c unlimited && cd ${directory} && "$0" --input-type=module -e "$1"; echo "status $?"; ls`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, program], { encoding: 'utf8' });
    return { files: stdout.replace(/status .*\n/, '').trim(), status: /status (.*)/.exec(stdout)?.[1], stderr };
  };
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
  const plain = abort('process.abort()');
  if (!/^core/.test(pattern) || plain.files === '') t.comment('cores do not come to the working directory here');
  else t.match(plain.files, /^core/, 'a process that does nothing about it leaves one');
  const ours = abort(`import { forbidCoreDumps } from '${module}'; forbidCoreDumps(); process.abort()`);
  t.equal(ours.status, '134', 'SIGABRT');
  t.equal(ours.files, '');
  t.notMatch(ours.stderr, /core dumped/);
});
