// node test/run.mjs [--jobs=N | --extra-jobs=N] [--timeout=SECONDS] SUITE|PATH…: runs compiled tests, each file in a process of its own.
// Prints a line per file, the output of each that fails, and `N passed, N failed`. `npm run build:test` compiles them.
import { spawn } from 'node:child_process';
import { accessSync, constants, readdirSync, statfsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { suites } from './suites.mjs';

const root = join(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  options: {
    jobs: { type: 'string' },
    'extra-jobs': { type: 'string', default: '1' },
    timeout: { type: 'string', default: '240' },
  },
  allowPositionals: true,
});
// More than there are cores, because many tests wait for a timeout.
const jobs = Number(values.jobs ?? availableParallelism() + Number(values['extra-jobs']));
/** 0 for none. */
const timeoutSeconds = Number(values.timeout);

/** The test files of a file or folder, such as `test/seal`. */
function filesOf(path) {
  if (statSync(join(root, path)).isFile()) return [path];
  const files = readdirSync(join(root, path), { recursive: true }).filter(
    (file) => file.endsWith('.test.ts') && !file.includes('node_modules'),
  );
  return files.sort().map((file) => join(path, file));
}

const neededBytes = 512 * 2 ** 20;

/** Temporary files in shared memory, where a sync costs nothing, if there is enough of it. */
function sharedMemory() {
  try {
    accessSync('/dev/shm', constants.W_OK);
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize > neededBytes ? { TMPDIR: '/dev/shm' } : {};
  } catch {
    return {};
  }
}

function runsOf(name) {
  const { paths, except = [], isInMemory = false, env = {} } = suites[name] ?? { paths: [name] };
  const files = paths.flatMap(filesOf).filter((file) => !except.some((path) => `${file}/`.startsWith(`${path}/`)));
  const all = isInMemory ? { ...sharedMemory(), ...env } : env;
  return files.map((file) => ({ suite: name, file, env: all }));
}

/** Runs one file. Resolves with its output and its exit status, or the signal that ended it. */
function run({ file, env }) {
  const script = join(root, 'build', file.replace(/\.ts$/, '.js'));
  const child = spawn(process.execPath, [script], {
    cwd: root,
    env: { ...process.env, TAP_TIMEOUT: String(timeoutSeconds), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  // The test ends itself at its timeout, and says where it was. This ends one that cannot.
  const timer = timeoutSeconds > 0 && setTimeout(() => child.kill('SIGKILL'), (timeoutSeconds + 15) * 1000);
  return new Promise((resolve) => {
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ output, status: status ?? signal });
    });
  });
}

/** The last line of TAP that tap writes counts assertions: `# { total: 9, pass: 7, fail: 1, skip: 1 }`. */
function countsOf({ output, status }) {
  const [, members = ''] = /^# \{ (.*) \}$/m.exec(output) ?? [];
  const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(members)?.[1] ?? 0);
  const failed = status === 0 ? 0 : Math.max(1, count('fail'));
  return { passed: count('pass'), failed, skipped: count('skip') };
}

/** TAP without the assertions that passed. */
const withoutPassed = (output) => output.trim().replaceAll(/^ *ok \d.*\n/gm, '');

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const text = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;

const queue = positionals.flatMap(runsOf);
const totals = new Map();

async function work() {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const since = performance.now();
    const result = await run(next);
    const counts = countsOf(result);
    const total = totals.get(next.suite) ?? { passed: 0, failed: 0, skipped: 0 };
    for (const name of Object.keys(total)) total[name] += counts[name];
    totals.set(next.suite, total);
    if (counts.failed > 0) console.log(`\n${withoutPassed(result.output)}\n(status ${result.status})`);
    console.log(`${counts.failed > 0 ? 'FAILED' : 'ok'} ${next.file}: ${text(counts)}, ${seconds(since)}`);
    if (counts.failed > 0) continue;
    for (const figure of result.output.match(/(?<=# )figure: .*/g) ?? []) console.log(`  ${figure}`);
  }
}

const since = performance.now();
await Promise.all(Array.from({ length: jobs }, work));
const all = { passed: 0, failed: 0, skipped: 0 };
for (const [suite, counts] of totals) {
  for (const name of Object.keys(all)) all[name] += counts[name];
  if (totals.size > 1) console.log(`${suite}: ${text(counts)}`);
}
console.log(`${text(all)}, ${seconds(since)}`);
process.exitCode = all.failed > 0 || all.passed === 0 ? 1 : 0;
