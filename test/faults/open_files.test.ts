import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { tests } from '../support/paths.js';
import { runThrough, startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { modelOfSizes } from '../support/pull_source.js';
import { onSimulator } from '../support/simulator.js';
import { until } from '../support/until.js';

const limited = (count: number) => ['prlimit', `--nofile=${count}:${count}`];

interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** Each request has a connection of its own, because the worker closes idle ones for others. */
async function ask<T>(
  { url, authorization }: WorkerProcess,
  target: string,
  init: RequestInit = {},
): Promise<Answer<T>> {
  const [method = '', path = ''] = target.split(' ');
  const json = typeof init.body === 'string' ? { 'content-type': 'application/json' } : {};
  const signal = AbortSignal.timeout(100_000);
  const headers = { authorization, connection: 'close', ...json };
  const answer = await fetch(url + path, { method, headers, signal, ...init });
  const text = await answer.text();
  return { status: answer.status, body: (text === '' ? null : JSON.parse(text)) as T };
}

/** Connections that send nothing, each from another address. */
function openIdle(t: Test, { url }: WorkerProcess, count: number): void {
  const { port, hostname } = new URL(url);
  for (let index = 0; index < count; index++) {
    const localAddress = `127.0.${1 + (index % 100)}.1`;
    const socket = connect({ port: Number(port), host: hostname, localAddress }).on('error', () => undefined);
    t.teardown(() => void socket.destroy());
  }
}

/** Processes that attach a shard. Returns how often each answer came. */
async function attachers(t: Test, socket: string, shard: string, count: number): Promise<Record<string, number>> {
  const script = join(tests, 'faults', 'leases', 'attachers.py');
  const child = spawn('python3', [script, socket, shard, String(count), '8'], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => child.stdin.end());
  const ended = once(child, 'exit').then(([status]) => {
    throw new Error(`attachers.py ended with ${status}`);
  });
  const [line] = await Promise.race([once(child.stdout, 'data'), ended]);
  return JSON.parse(String(line)) as Record<string, number>;
}

const descriptorsOf = ({ child }: WorkerProcess): number => readdirSync(`/proc/${child.pid}/fd`).length;

t.test('attaching processes and HTTP clients leave descriptors for each other', onSimulator, async (t) => {
  const limit = 1024;
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'attach.sock');
  const env = {
    WORKER_ATTACH_SOCKET: socket,
    WORKER_AUDIT_LOG: join(directory, 'audit.jsonl'),
    WORKER_MANIFEST: join(directory, 'manifest'),
  };
  const worker = await startProcess(t, directory, env, limited(limit));
  const upload = (shard: string) =>
    ask(worker, `PUT /v1/commit?shard_id=${shard}&model_ref=m`, { body: randomBytes(9) });
  t.equal((await upload('a')).status, 201);
  const attached = await attachers(t, socket, 'a', 260);
  t.same(Object.keys(attached).sort(), ['RATE_LIMITED', 'attached'], JSON.stringify(attached));
  openIdle(t, worker, 1000);
  let most = 0;
  for (let count = 0; count < 10; count++) {
    for (const path of ['/livez', '/readyz', '/v1/ready', '/v1/audit?limit=1', '/v1/shards'])
      t.equal((await ask(worker, `GET ${path}`)).status, 200, path);
    t.match(await ask(worker, 'POST /v1/shards/a/verify'), { status: 200, body: { verified: true } });
    t.equal((await upload('b')).status, 201);
    t.equal((await ask(worker, 'DELETE /v1/shards/b')).status, 204, 'the audit log and the manifest are written');
    most = Math.max(most, descriptorsOf(worker));
  }
  t.notMatch(worker.output(), /EMFILE/);
  t.ok(most <= limit - 128, `the reserve is left: ${most} of ${limit} are open`);
  t.comment(`figure: most open files ${most} of ${limit}`);
});

interface PullAnswer {
  readonly state: string;
  readonly problem: object | null;
}

t.test('with a limit of 256 open files, four pulls of many local files end', onSimulator, async (t) => {
  const directory = temporaryDirectory(t);
  const pulls = ['a', 'b', 'c', 'd'];
  for (const pull of pulls) {
    mkdirSync(join(directory, 'models', pull), { recursive: true });
    for (const [name, bytes] of modelOfSizes(Array(60).fill(10_000)))
      writeFileSync(join(directory, 'models', pull, name), bytes);
  }
  const env = { WORKER_MODEL_DIR: join(directory, 'models'), CUDA_SIM_DEVICES: '1GiB' };
  const worker = await startProcess(t, directory, env, limited(256));
  openIdle(t, worker, 100);
  for (const pull of pulls) {
    const source = { type: 'file', path: `${pull}/model.safetensors.index.json` };
    const body = JSON.stringify({ pull_id: pull, source, shard_id_prefix: pull, digest: 'allow' });
    t.equal((await ask(worker, 'POST /v1/pulls', { body })).status, 202);
  }
  for (const pull of pulls) {
    let last: PullAnswer | undefined;
    await until(async () => {
      const { status, body } = await ask<PullAnswer>(worker, `GET /v1/pulls/${pull}`);
      assert.equal(status, 200);
      last = body;
      return ['sealed', 'failed', 'cancelled'].includes(body.state);
    });
    t.match(last, { state: 'sealed', problem: null }, pull);
  }
  t.notMatch(worker.output(), /EMFILE/);
});

t.test('a worker refuses to start if the limit of open files is too low', onSimulator, async (t) => {
  const attach = { WORKER_ATTACH_SOCKET: join(temporaryDirectory(t), 'attach.sock') };
  for (const [least, env] of [
    [256, {}],
    [512, attach],
  ] as const) {
    const { exited, errors } = runThrough(t, {
      directory: temporaryDirectory(t),
      args: ['serve', '--simulate'],
      env,
      through: limited(least - 1),
    });
    t.equal(await exited, 78);
    t.match(errors(), new RegExp(`the hard limit of open files is too low: raise it from ${least - 1} to ${least}`));
  }
});
