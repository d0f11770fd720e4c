import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { settingsHelp } from '../../src/config/settings_help.js';
import { patternBytes } from '../support/bytes.js';
import { faultsAfterStart, run, startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { mebibyte } from '../support/requests.js';
import { until } from '../support/until.js';

const body = patternBytes(4 * mebibyte);

/** Sends the first half of an upload. */
async function halfUpload(worker: WorkerProcess, shardId: string) {
  const sending = request(`${worker.url}/v1/commit?shard_id=${shardId}&model_ref=m`, {
    method: 'PUT',
    headers: { authorization: worker.authorization, 'content-length': body.length },
  });
  const answer = once(sending, 'response');
  answer.catch(() => undefined);
  sending.on('error', () => undefined);
  await new Promise<void>((resolve) => sending.write(body.subarray(0, body.length / 2), () => resolve()));
  for (;;) {
    const shard = await ask(worker, `/v1/shards/${shardId}`);
    if (shard.status === 200 && shard.body.received_bytes > 0) return { sending, answer };
  }
}

/** The fields of the responses that the tests read. */
interface Body {
  readonly received_bytes: number;
  readonly state: string;
  readonly shards: readonly object[];
  readonly devices: readonly { free_bytes: number; available_bytes: number }[];
}

async function ask(worker: WorkerProcess, path: string): Promise<{ status: number; body: Body }> {
  const answer = await fetch(worker.url + path, { headers: { authorization: worker.authorization } });
  return { status: answer.status, body: (await answer.json()) as Body };
}

t.test('the three curl commands that it prints work, also in a folder with spaces and quotes', async (t) => {
  const directory = join(temporaryDirectory(t), "it's a $HOME folder");
  mkdirSync(directory);
  writeFileSync(join(directory, 'package.json'), '{}');
  const worker = await startProcess(t, directory);
  const lines = worker.output().match(/curl .*/g) ?? [];
  t.equal(lines.length, 3);
  const answers = lines.map((line) =>
    JSON.parse(execFileSync('sh', ['-c', line], { cwd: directory, encoding: 'utf8' })),
  );
  t.match(answers, [{ feasible: true }, { handle: String, shard: { state: 'sealed' } }, { ready: true }]);
  t.match(worker.output(), /simulated/i, 'the output says that the GPU is simulated');
});

t.test('it refuses to start without a GPU, with an invalid setting, and with invalid usage', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'token'), 'x'.repeat(40), { mode: 0o600 });
  writeFileSync(join(directory, 'kernels'), 'none');
  const anyPort = { WORKER_BIND_ADDR: '127.0.0.1:0' };
  const token = { ...anyPort, WORKER_API_TOKEN_FILE: join(directory, 'token') };
  const gpu = { ...token, WORKER_CUDA_DRIVER: 'libcuda-absent.so.1', WORKER_CUDA_KERNELS: join(directory, 'kernels') };
  const cases = [
    [['serve'], gpu, 69, /no usable GPU.*--simulate/],
    [
      ['serve', '--simulate'],
      { ...token, WORKER_GPU_DEVICES: '7' },
      78,
      /WORKER_GPU_DEVICES .*: GPU device 7 does not exist/,
    ],
    [
      ['serve', '--simulate'],
      { ...token, CUDA_SIM_SPOOFS: 'kernel_output=1' },
      69,
      /GPU device 0 .*self-test.*"digest"/,
    ],
    [['serve', '--simulate'], { WORKER_TYPO: '1' }, 78, /^vram-worker: unknown setting WORKER_TYPO\n$/],
    [['serve', '--simulate'], { ...anyPort, CUDA_SIM_DEVICES: 'many' }, 69, /CUDA_SIM_DEVICES/],
    [['serve'], {}, 78, /WORKER_API_TOKEN_FILE is not set: .*--simulate/],
    [['serve', '--fast'], {}, 64, /--fast.*\n\nUsage: .*\n( .*\n)+More: --help\n$/],
    [['run'], {}, 64, /^vram-worker: unknown command run\n\nUsage: .*\n( .*\n)+More: --help\n$/],
    [[], {}, 64, /^vram-worker: the command is missing\n\nUsage: /],
  ] as const;
  for (const [args, env, status, message] of cases) {
    const { exited, errors } = run(t, directory, args, env);
    t.equal(await exited, status, `${args.join(' ')} ${JSON.stringify(env)}: ${errors()}`);
    t.match(errors(), message);
  }
  const help = run(t, directory, ['--help']);
  t.equal(await help.exited, 0);
  t.match(help.output(), /Usage: vram-worker serve/);
  t.ok(help.output().endsWith(`\n${settingsHelp()}`), '--help lists the settings of the table');
});

t.test('SIGTERM: ready is false immediately, an upload in progress finishes, then the worker exits', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_DRAIN_SECONDS: '20' });
  const { sending, answer } = await halfUpload(worker, 'a');
  worker.child.kill('SIGTERM');
  for (;;) {
    const ready = await ask(worker, '/v1/ready');
    t.equal(ready.status, 503);
    if (ready.body.state === 'draining') break;
  }
  sending.end(body.subarray(body.length / 2));
  const [response] = await answer;
  t.equal(response.statusCode, 201);
  response.resume();
  t.equal(await worker.exited, 0);
});

t.test('SIGTERM: an upload that does not finish in time gets a response', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_DRAIN_SECONDS: '10' });
  const { answer } = await halfUpload(worker, 'a');
  worker.child.kill('SIGTERM');
  const [response] = await answer;
  t.equal(response.statusCode, 503);
  const chunks = await response.toArray();
  t.match(JSON.parse(Buffer.concat(chunks).toString()), { code: 'DRAINING', retriable: true });
  t.equal(await worker.exited, 0);
});

t.test('SIGTERM: an idle connection does not delay the wipe', async (t) => {
  const memory = temporaryDirectory(t);
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_DRAIN_SECONDS: '3600', CUDA_SIM_DIR: memory });
  const shard = patternBytes(5000);
  const headers = { authorization: worker.authorization };
  await fetch(`${worker.url}/v1/commit?shard_id=a&model_ref=m`, { method: 'PUT', headers, body: shard });
  const isInMemory = () => readFileSync(join(memory, 'gpu0-memory.vram')).includes(shard);
  await until(isInMemory, 'no byte of the upload reached the device');
  const silent = connect(Number(new URL(worker.url).port), '127.0.0.1');
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  worker.child.kill('SIGTERM');
  await until(() => !isInMemory(), 'the memory was not wiped');
  silent.destroy();
  t.equal(await worker.exited, 0);
});

t.test('SIGTERM: during device startup it ends the worker cleanly', async (t) => {
  const { child, exited, output } = run(t, temporaryDirectory(t), ['serve', '--simulate'], {
    WORKER_BIND_ADDR: '127.0.0.1:0',
  });
  const listening = new Promise<void>((resolve) => {
    child.stdout?.on('data', () => /listening/i.test(output()) && resolve());
  });
  await listening;
  child.kill('SIGTERM');
  t.equal(await exited, 0);
});

t.test('SIGTERM: a second signal aborts commits, and the worker still wipes the memory', async (t) => {
  const memory = temporaryDirectory(t);
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_DRAIN_SECONDS: '3600', CUDA_SIM_DIR: memory });
  const { answer } = await halfUpload(worker, 'a');
  const isInMemory = () => readFileSync(join(memory, 'gpu0-memory.vram')).includes(body.subarray(0, 5000));
  await until(isInMemory, 'no byte of the upload reached the device');
  worker.child.kill('SIGTERM');
  while ((await ask(worker, '/v1/ready')).body.state !== 'draining');
  worker.child.kill('SIGINT');
  const [response] = await answer;
  t.equal(response.statusCode, 503);
  response.resume();
  t.equal(await worker.exited, 0);
  t.notOk(isInMemory());
});

t.test('SIGTERM: with a lost driver the exit status is 70', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), faultsAfterStart('cuLaunchKernel:1=719'));
  const headers = { authorization: worker.authorization };
  const { status } = await fetch(`${worker.url}/v1/commit?shard_id=a&model_ref=m`, { method: 'PUT', headers, body });
  t.equal(status, 500);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 70);
});

t.test('SIGUSR1 does not start the debugger', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  worker.child.kill('SIGUSR1');
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
  t.notMatch(worker.errors(), /Debugger/);
});

t.test('SIGTERM: if the memory cannot be wiped, the exit status is 71', async (t) => {
  const faults = { ...faultsAfterStart('cuMemsetD8Async:1+=999'), WORKER_DRAIN_SECONDS: '10' };
  const worker = await startProcess(t, temporaryDirectory(t), faults);
  const headers = { authorization: worker.authorization };
  const body = patternBytes(5000);
  await fetch(`${worker.url}/v1/commit?shard_id=a&model_ref=m`, { method: 'PUT', headers, body });
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 71);
});

t.test('SIGKILL during a commit: the next start is clean, and earlier handles are stale', async (t) => {
  const directory = temporaryDirectory(t);
  const memory = temporaryDirectory(t);
  const env = { CUDA_SIM_DIR: memory };
  const first = await startProcess(t, directory, env);
  const sealed = await fetch(`${first.url}/v1/commit?shard_id=done&model_ref=m`, {
    method: 'PUT',
    headers: { authorization: first.authorization },
    body: patternBytes(5000),
  });
  const { handle } = (await sealed.json()) as { handle: string };
  await halfUpload(first, 'half');
  first.child.kill('SIGKILL');
  t.equal(await first.exited, 'SIGKILL');

  const second = await startProcess(t, directory, env);
  t.same((await ask(second, '/v1/shards')).body.shards, []);
  const { devices } = (await ask(second, '/v1/devices')).body;
  t.ok(devices.every((device) => device.free_bytes === device.available_bytes));
  const verdict = await fetch(`${second.url}/v1/handles/verify`, {
    method: 'POST',
    headers: { authorization: second.authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ handle }),
  });
  t.match(await verdict.json(), { valid: false, reason: 'stale_boot' });
});
