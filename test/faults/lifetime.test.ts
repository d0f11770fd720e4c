import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { native as libraries, tests } from '../support/paths.js';
import { onSimulator } from '../support/simulator.js';
import { scale } from './scale.js';

const native = join(libraries, 'asan');
/** A process that loads a sanitized library must load the sanitizer first. */
const runtime = execFileSync('gcc', ['-print-file-name=libasan.so']).toString().trim();

/** A mutant that drops a call's arguments when the call starts. `Library` keeps them until native code returns. */
const unpinned = {
  file: 'vram/library.js',
  changes: [
    ['call.reject(reason);\n      }\n    });', 'call.reject(reason);\n      }\n    });\n    call.args.length = 0;'],
  ],
};

interface Churned {
  readonly status: number | string;
  readonly output: string;
  readonly errors: string;
}

/** Runs a worker under AddressSanitizer for some seconds. Its device is slow, and its native calls queue. */
function churn(t: Test, seconds: number, mutant: object = {}): Promise<Churned> {
  const script = join(tests, 'faults', 'lifetime', 'churn.mjs');
  const hook = join(tests, 'mutants', 'register.mjs');
  const env = {
    PATH: process.env.PATH,
    LD_PRELOAD: runtime,
    ASAN_OPTIONS: 'detect_leaks=0',
    CUDA_SIM_DEVICES: '128MiB,128MiB',
    CUDA_SIM_ENGINE: 'fast',
    CUDA_SIM_LATENCY_US: '2000',
    UV_THREADPOOL_SIZE: '2',
    MUTANT: JSON.stringify(mutant),
  };
  const args = ['--expose-gc', '--import', hook, script, native, String(seconds)];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { env, maxBuffer: 2 ** 26 }, (error, output, errors) =>
      resolve({ status: error === null ? 0 : (error.code ?? error.signal ?? 'unknown'), output, errors }),
    );
    t.teardown(() => void child.kill('SIGKILL'));
  });
}

const missing = existsSync(join(native, 'libvram.so')) ? onSimulator : { skip: '`make -C cuda asan` has not run' };
t.setTimeout(1_800_000);

t.test('native code never uses memory that the garbage collector has freed', missing, async (t) => {
  const seconds = scale(4, 600);
  const { status, output, errors } = await churn(t, seconds);
  t.equal(status, 0, errors.slice(0, 4000));
  t.notMatch(errors, /Sanitizer|runtime error/);
  const cycles = Number(/cycles (\d+)/.exec(output)?.[1]);
  t.ok(cycles > 0, 'shards were committed, verified and released');
  const reports = errors.match(/ERROR: \w+Sanitizer|runtime error/g)?.length ?? 0;
  t.comment(`figure: sanitizer reports ${reports} in ${seconds} s and ${cycles} commits`);
});

t.test('the same run detects a binding that does not keep the arguments of a call', missing, async (t) => {
  const { status, errors } = await churn(t, 60, unpinned);
  t.not(status, 0, 'the mutant fails');
  const found = /AddressSanitizer: heap-use-after-free/.test(errors);
  t.ok(found, 'AddressSanitizer reports a use after free', { errors: errors.slice(0, 4000) });
  t.comment(`figure: mutants without pinning detected ${Number(found)} of 1`);
});
