import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { preloading } from '../../support/preloading.js';
import { type Run, run, runThrough, temporaryDirectory } from '../../support/process.js';
import { statusOf } from '../../support/silent_process.js';
import { until } from '../../support/until.js';

const names = ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
const env = { WORKER_BIND_ADDR: '127.0.0.1:0' };
const addressOf = ({ output }: Run): string | undefined => /docs +(https?:\S+)\/docs/.exec(output())?.[1];

/** Whether the process has a handler for a signal. */
function catches({ child }: Run, name: (typeof names)[number]): boolean {
  const status = readFileSync(`/proc/${child.pid}/status`, 'latin1');
  const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1]}`);
  return ((mask >> BigInt(constants.signals[name] - 1)) & 1n) === 1n;
}

const startedPoints: Readonly<Record<string, (worker: Run) => boolean>> = {
  'its handlers are in place': (worker) => catches(worker, 'SIGUSR2'),
  'its banner begins': ({ output }) => /vram-residency/.test(output()),
};

for (const [point, isReached] of Object.entries(startedPoints)) {
  t.test(`each signal at random moments after ${point} leaves the worker running`, async (t) => {
    for (const name of names) {
      const worker = run(t, temporaryDirectory(t), ['serve', '--simulate'], env);
      await until(() => isReached(worker));
      for (let count = 0; count < 30; count++) {
        worker.child.kill(name);
        await sleep(Math.random() * 20);
      }
      await until(() => addressOf(worker) !== undefined, `${name}: ${worker.errors()}`);
      t.equal(await statusOf(`${addressOf(worker)}/readyz`), 200, name);
      worker.child.kill('SIGTERM');
      t.equal(await worker.exited, 0, name);
      t.notMatch(worker.errors(), /Debugger listening/);
    }
  });
}

t.test('a debugger that a SIGUSR1 opened before the handlers were in place is closed', async (t) => {
  // Node opens it in the same way, by the inspector of the main thread.
  const open = `import inspector from 'node:inspector'; inspector.open(0, '127.0.0.1')`;
  const worker = runThrough(t, {
    directory: temporaryDirectory(t),
    args: ['serve', '--simulate'],
    env,
    through: preloading(open),
  });
  const debuggerUrl = () => /Debugger listening on ws:\/\/(\S+)\//.exec(worker.errors())?.[1];
  await until(() => debuggerUrl() !== undefined, 'the debugger was never open');
  await until(() => addressOf(worker) !== undefined);
  t.equal(await statusOf(`http://${debuggerUrl()}/json`), 0);
});
