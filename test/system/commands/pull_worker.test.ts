import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { graceMs } from '../../../src/commands/pull/interruption.js';
import { freePort } from '../../support/free_port.js';
import { preloading, withoutTimersOf } from '../../support/preloading.js';
import { runThrough, startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { rangeServer } from '../../support/range_server.js';
import { safetensorsOf } from '../../support/safetensors.js';
import { until } from '../../support/until.js';

const mebibyte = 1024 ** 2;

/** A safetensors file with one tensor of this length. */
function safetensors(dataBytes: number): Buffer {
  const header = { x: { dtype: 'U8', shape: [dataBytes], data_offsets: [0, dataBytes] } };
  return safetensorsOf(JSON.stringify(header), dataBytes);
}

const files = { '/models/m.safetensors': safetensors(8 * mebibyte) };
const digest = `sha256:${createHash('sha256').update(files['/models/m.safetensors']).digest('hex')}`;

/** A worker with an HTTP server as its source. */
async function startWithSource(t: Test, env: NodeJS.ProcessEnv = {}) {
  const server = await rangeServer(t, files);
  const directory = temporaryDirectory(t);
  const source = { name: 'lab', type: 'http', prefixes: [`${server.origin}/models/`], addresses: ['127.0.0.0/8'] };
  const path = join(directory, 'sources.json');
  writeFileSync(path, JSON.stringify({ sources: [{ ...source, digest: 'allow' }] }), { mode: 0o600 });
  const settings = { WORKER_SOURCES_FILE: path, ...env };
  const worker = await startProcess(t, directory, settings);
  return { worker, settings, source: `${server.origin}/models/m.safetensors` };
}

function command(t: Test, worker: WorkerProcess, args: readonly string[], through: readonly string[] = []) {
  return runThrough(t, { directory: worker.directory, args, env: { VRAM_WORKER_URL: worker.url }, through });
}

async function finished(t: Test, worker: WorkerProcess, args: readonly string[]) {
  const { exited, output, errors } = command(t, worker, args);
  return { status: await exited, output: output(), errors: errors() };
}

t.test('a worker pulls a model, keeps it, and pulls it again after its release', async (t) => {
  const { worker, source } = await startWithSource(t);
  const pull = ['pull', source, '--expect', digest];
  t.match(await finished(t, worker, pull), { status: 0, output: 'm-0  sealed  8.00 MiB  m.safetensors\n' });
  t.match(await finished(t, worker, pull), { status: 0, output: /^m-0 {2}sealed/ }, 'the same command again');
  t.match(await finished(t, worker, ['rm', 'm-0']), { status: 0 });
  t.match(await finished(t, worker, [...pull, '--json']), { status: 0, output: /"pull_id":"pull-[0-9a-f]{16}-2"/ });
  t.match((await finished(t, worker, ['ls'])).output, /\nm-0 .* 8\.00 MiB {2}sealed/);
  const wrong = ['pull', source, '--expect', `sha256:${'0'.repeat(64)}`, '--shard-prefix', 'other'];
  t.match(await finished(t, worker, wrong), { status: 1, errors: /failed: DIGEST_MISMATCH: / });
  t.match(await finished(t, worker, ['pull', source, '--shard-prefix', 'x']), { status: 1, errors: /failed: / });
});

t.test('Ctrl-C cancels a pull that runs, and its memory is free', async (t) => {
  const { worker, source } = await startWithSource(t);
  const args = ['pull', source, '--digest', 'allow', '--bytes-per-second', String(mebibyte)];
  const pull = command(t, worker, args);
  await until(() => /receiving/.test(pull.errors()), 'the pull does not receive');
  pull.child.kill('SIGINT');
  t.equal(await pull.exited, 130, pull.errors());
  t.match(pull.errors(), /is canceled, and its memory is free/);
  t.match((await finished(t, worker, ['ls', '--json'])).output, '');
  t.match(await finished(t, worker, ['pull', source, '--digest', 'allow']), { status: 0 }, 'it can be pulled again');
});

t.test('a pull that was left running is watched to its end', async (t) => {
  const { worker, source } = await startWithSource(t);
  const args = ['pull', source, '--digest', 'allow', '--bytes-per-second', String(2 * mebibyte)];
  const pull = command(t, worker, args, preloading(withoutTimersOf(graceMs)));
  await until(() => /receiving/.test(pull.errors()), 'the pull does not receive');
  pull.child.kill('SIGINT');
  await until(() => /Canceling in/.test(pull.errors()));
  pull.child.kill('SIGINT');
  t.equal(await pull.exited, 3, pull.errors());
  const [, pullId = ''] = /--watch (pull-\w+)/.exec(pull.errors()) ?? [];
  t.match(await finished(t, worker, ['pull', '--watch', pullId]), { status: 0, output: /^m-0 {2}sealed/ });
});

t.test('a pull begins again if the worker is killed in the middle', async (t) => {
  const address = { WORKER_BIND_ADDR: `127.0.0.1:${await freePort()}` };
  const { worker, settings, source } = await startWithSource(t, address);
  const pull = command(t, worker, ['pull', source, '--digest', 'allow', '--bytes-per-second', String(2 * mebibyte)]);
  await until(() => /receiving/.test(pull.errors()), 'the pull does not receive');
  worker.child.kill('SIGKILL');
  await worker.exited;
  await startProcess(t, worker.directory, settings);
  t.equal(await pull.exited, 0, pull.errors());
  t.match(pull.errors(), /the worker no longer has the pull; it begins again/);
});
