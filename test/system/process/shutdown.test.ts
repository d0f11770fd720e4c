import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { preloading } from '../../support/preloading.js';
import { run, runThrough, startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { statusOf } from '../../support/silent_process.js';
import { until } from '../../support/until.js';

async function commit({ url, authorization }: WorkerProcess): Promise<Response> {
  const path = `/v1/commit?shard_id=a&model_ref=m`;
  return fetch(url + path, { method: 'PUT', headers: { authorization }, body: patternBytes(5000) });
}

t.test('in the shutdown delay readyz is 503 and the worker still commits', async (t) => {
  const env = { WORKER_SHUTDOWN_DELAY_SECONDS: '3600', WORKER_DRAIN_SECONDS: '20' };
  const worker = await startProcess(t, temporaryDirectory(t), env);
  t.equal(await statusOf(`${worker.url}/readyz`), 200);
  worker.child.kill('SIGTERM');
  await until(async () => (await statusOf(`${worker.url}/readyz`)) === 503);
  const answer = await fetch(`${worker.url}/readyz`);
  t.match(await answer.json(), { ready: false, reasons: [{ code: 'DRAINING' }] });
  const committed = await commit(worker);
  t.equal(committed.status, 201);
  t.equal(committed.headers.get('connection'), 'close', 'clients and balancers open no more connections to it');
});

t.test('the shutdown delay ends without a second signal', async (t) => {
  const env = { WORKER_SHUTDOWN_DELAY_SECONDS: '1', WORKER_DRAIN_SECONDS: '20' };
  const worker = await startProcess(t, temporaryDirectory(t), env);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('a second signal ends the shutdown delay', async (t) => {
  const env = { WORKER_SHUTDOWN_DELAY_SECONDS: '3600', WORKER_DRAIN_SECONDS: '20' };
  const worker = await startProcess(t, temporaryDirectory(t), env);
  worker.child.kill('SIGTERM');
  await until(async () => (await statusOf(`${worker.url}/readyz`)) === 503);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('a blocked event loop does not keep the worker alive after the drain time', async (t) => {
  const block = `process.on('SIGWINCH', () => { for (;;); })`;
  const env = { WORKER_DRAIN_SECONDS: '1' };
  const worker = await startProcess(t, temporaryDirectory(t), env, preloading(block));
  worker.child.kill('SIGWINCH');
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 75);
});

t.test('an error that no code handles wipes the memory and ends the worker with status 70', async (t) => {
  const fail = `process.on('SIGWINCH', () => { throw new Error('unexpected') })`;
  const worker = await startProcess(t, temporaryDirectory(t), {}, preloading(fail));
  worker.child.kill('SIGWINCH');
  t.equal(await worker.exited, 70);
  t.match(worker.output(), /"level":60.*unexpected error: exiting/);
  t.notMatch(worker.output(), /could not be wiped/);
});

t.test('SIGHUP and SIGUSR2 during the startup take effect after it', async (t) => {
  const early = `process.on('newListener', (name) => {
    if (name === 'SIGUSR2') setImmediate(() => { process.kill(process.pid, 'SIGHUP'); process.kill(process.pid, 'SIGUSR2'); });
  })`;
  const worker = await startProcess(t, temporaryDirectory(t), {}, preloading(early));
  await until(() => /reloading secrets/.test(worker.output()) && /verification paused/.test(worker.output()));
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('each reason not to start has its own status and words', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const address = other.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const blocked = temporaryDirectory(t);
  writeFileSync(join(blocked, '.worker'), 'a file, so that no folder can be created');
  const cases = [
    [
      temporaryDirectory(t),
      { WORKER_BIND_ADDR: `127.0.0.1:${port}` },
      74,
      /cannot listen on 127.0.0.1:\d+: EADDRINUSE/,
    ],
    [blocked, { WORKER_BIND_ADDR: '127.0.0.1:0' }, 73, /\.worker\/token cannot be created: EEXIST/],
    [temporaryDirectory(t), { WORKER_BIND_ADDR: '127.0.0.1:0', WORKER_MANIFEST: '/proc/manifest' }, 73, /cannot be/],
  ] as const;
  for (const [directory, env, status, words] of cases) {
    const { exited, errors } = run(t, directory, ['serve', '--simulate'], env);
    t.equal(await exited, status, errors());
    t.match(errors(), words);
    t.notMatch(errors(), /no usable GPU/);
  }
});

t.test('a failed start does not wait for standard error', async (t) => {
  const through = ['sh', '-c', 'exec "$0" "$@" 2>/dev/full'];
  const { exited } = runThrough(t, { directory: temporaryDirectory(t), args: ['serve', '--fast'], through });
  t.equal(await exited, 64);
});
