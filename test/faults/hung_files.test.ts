import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { native } from '../support/paths.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { onSimulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

/** Makes calls on files hang or fail, by the names of the files. See `cuda/test/file_faults.h`. */
const faults = join(native, 'file_faults.so');
const missing = existsSync(faults) ? onSimulator : { skip: '`make -C cuda build/file_faults.so` has not run' };
const hungFiles = 16;
t.setTimeout(1_800_000);

interface Answer {
  readonly status: number;
  readonly body: {
    readonly code?: string;
    readonly detail?: string;
    readonly verified?: boolean;
    readonly retriable?: boolean;
    readonly state?: string;
    readonly lost?: readonly object[];
    readonly handles?: readonly object[];
    readonly reasons?: readonly { readonly code: string }[];
  };
}

async function ask(worker: WorkerProcess, path: string, init: RequestInit = {}): Promise<Answer> {
  const headers = { authorization: worker.authorization, ...(init.headers ?? {}) };
  const answer = await fetch(worker.url + path, { ...init, headers });
  return { status: answer.status, body: (await answer.json()) as Answer['body'] };
}

const commit = (worker: WorkerProcess, shardId: string, path: string): Promise<Answer> =>
  ask(worker, '/v1/commit', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ shard_id: shardId, model_ref: 'm', source: { type: 'file', path } }),
  });
const upload = (worker: WorkerProcess, shardId: string): Promise<Answer> =>
  ask(worker, `/v1/commit?shard_id=${shardId}&model_ref=m`, { method: 'PUT', body: patternBytes(5000) });

/** A worker whose model directory has files that hang while the file `gate` exists. */
function workspace(t: Test, settings: NodeJS.ProcessEnv) {
  const directory = temporaryDirectory(t);
  const models = join(directory, 'models');
  mkdirSync(models);
  const gate = join(directory, 'gate');
  writeFileSync(gate, '');
  const env = { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: 'audit.log', ...settings };
  const shim = { LD_PRELOAD: faults, VRAM_TEST_GATE: gate };
  const model = (name: string) => writeFileSync(join(models, name), patternBytes(5000));
  const start = (more: NodeJS.ProcessEnv = {}) => startProcess(t, directory, { ...env, ...shim, ...more });
  return { directory, models, gate, model, start };
}

/** Renames a file of the host without a pause, until the test ends. */
async function renameBusily(t: Test): Promise<void> {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'a'), '');
  const script = "const { renameSync } = require('node:fs'); for (;;) { renameSync('a', 'b'); renameSync('b', 'a'); }";
  const child = spawn(process.execPath, ['-e', script], { cwd: directory, stdio: 'ignore' });
  t.teardown(() => void child.kill('SIGKILL'));
  await until(() => existsSync(join(directory, 'b')), 'the renames begin');
}

t.test(
  'files that hang stop neither uploads, verifications nor other files, and fail by a deadline',
  missing,
  async (t) => {
    const { gate, model, start } = workspace(t, { WORKER_FILE_TIMEOUT_SECONDS: '15' });
    for (const name of ['good', 'hang-open', 'hang-read']) model(name);
    const worker = await start();
    t.equal((await upload(worker, 'u')).status, 201);
    const hung = Array.from({ length: hungFiles }, (_, index) =>
      commit(worker, `h-${index}`, index % 2 === 0 ? 'hang-read' : 'hang-open'),
    );
    await until(async () => (await ask(worker, '/v1/shards?state=receiving')).status === 200);
    t.equal((await ask(worker, '/livez')).status, 200);
    t.equal((await upload(worker, 'v')).status, 201);
    t.equal((await commit(worker, 'g', 'good')).status, 201);
    t.match(await ask(worker, '/v1/shards/u/verify', { method: 'POST' }), { status: 200, body: { verified: true } });

    await until(async () => (await ask(worker, '/readyz')).status === 503, 'readyz knows of the stuck calls');
    t.match((await ask(worker, '/readyz')).body.reasons, [{ code: 'MODEL_DIR_UNAVAILABLE' }]);
    t.equal((await ask(worker, '/v1/shards/u/verify', { method: 'POST' })).status, 200);
    for (const answer of await Promise.all(hung)) {
      t.match(answer, { status: 503, body: { code: 'MODEL_DIR_UNAVAILABLE', retriable: true, detail: /15 seconds/ } });
    }
    t.match(worker.output(), /did not return for 15 seconds/, 'the log has the reason');
    rmSync(gate);
    await until(async () => (await ask(worker, '/readyz')).status === 200, 'readyz recovers with the file system');
    t.equal((await commit(worker, 'h-0', 'hang-read')).status, 201, 'the failed commits were undone');
    worker.child.kill('SIGTERM');
    t.equal(await worker.exited, 0);
  },
);

t.test('if calls that hang occupy every thread, a commit by reference is refused at once', missing, async (t) => {
  const { model, start } = workspace(t, { WORKER_FILE_TIMEOUT_SECONDS: '3600', WORKER_DRAIN_SECONDS: '2' });
  for (const name of ['good', 'hang-open']) model(name);
  const worker = await start();
  const hung = Array.from({ length: 40 }, (_, index) => commit(worker, `h-${index}`, 'hang-open'));
  for (const one of hung) one.catch(() => undefined);
  await until(async () => (await ask(worker, '/readyz')).status === 503, 'readyz knows of the stuck calls');
  await until(async () => (await commit(worker, 'g', 'good')).status === 503, 'a commit is refused');
  t.match((await commit(worker, 'g', 'good')).body, { code: 'MODEL_DIR_UNAVAILABLE', detail: /does not respond/ });
  t.equal((await upload(worker, 'u')).status, 201);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0, 'the process ends although every thread hangs');
});

t.test('SIGTERM wipes the sealed shards at once while a read hangs', missing, async (t) => {
  const { directory, model, start } = workspace(t, { WORKER_DRAIN_SECONDS: '5' });
  model('hang-read');
  const worker = await start();
  t.equal((await upload(worker, 'u')).status, 201);
  const hung = commit(worker, 'h', 'hang-read').catch(() => undefined);
  // The format is checked before the shard exists, so only readyz knows of the read.
  await until(async () => (await ask(worker, '/readyz')).status === 503, 'readyz knows of the stuck call');
  worker.child.kill('SIGTERM');
  const log = () => readFileSync(join(directory, 'audit.log'), 'utf8');
  await until(async () => (await ask(worker, '/v1/shards/u')).status === 404, 'the sealed shard is wiped');
  t.match(log(), /"VramDeallocated".*"u"/);
  t.equal((await ask(worker, '/livez')).status, 200, 'before the commit in progress ends');
  t.equal(await worker.exited, 0);
  await hung;
});

t.test('an error of the host is MODEL_DIR_UNAVAILABLE with its errno', missing, async (t) => {
  const { models, model, start } = workspace(t, {});
  const errnos = {
    EPERM: 1,
    EIO: 5,
    EAGAIN: 11,
    ENOMEM: 12,
    EACCES: 13,
    ENFILE: 23,
    EMFILE: 24,
    ENOSYS: 38,
    ESTALE: 116,
  };
  const worker = await start();
  for (const [name, errno] of Object.entries(errnos)) {
    for (const call of ['open', 'read']) {
      model(`fail-${call}-${errno}`);
      const { status, body } = await commit(worker, 'a', `fail-${call}-${errno}`);
      t.match(
        body,
        { code: 'MODEL_DIR_UNAVAILABLE', retriable: true, detail: new RegExp(`${name}$`) },
        `${call}: ${name}`,
      );
      t.equal(status, 503);
    }
  }
  t.match(worker.output(), /ESTALE/);
  renameSync(models, `${models}.away`);
  t.match(await commit(worker, 'a', 'x'), { status: 503, body: { code: 'MODEL_DIR_UNAVAILABLE', detail: /ENOENT$/ } });
  renameSync(`${models}.away`, models);
  t.equal((await commit(worker, 'a', 'x')).status, 404);
});

t.test('links through `..` are opened and restored while files of the host are renamed', missing, async (t) => {
  const shards = scale(40, 400);
  const { models, start } = workspace(t, { WORKER_MANIFEST: 'manifest.json' });
  for (const folder of ['blobs', 'snapshots', 'snapshots/main']) mkdirSync(join(models, folder));
  for (let shard = 0; shard < shards; shard++) {
    writeFileSync(join(models, 'blobs', `${shard}`), patternBytes(5000, shard));
    symlinkSync(`../../blobs/${shard}`, join(models, 'snapshots', 'main', `${shard}`));
  }
  await renameBusily(t);
  const first = await start({ CUDA_SIM_DEVICES: '2GiB' });
  let refused = 0;
  const rounds = scale(200, 1500);
  for (let round = 0; round < rounds; round++) {
    const shard = round % shards;
    const { status } = await commit(first, `s-${shard}`, `snapshots/main/${shard}`);
    if (status !== 201 && status !== 200) refused++;
  }
  t.comment(`figure: commits refused while files are renamed ${refused} of ${rounds}`);
  t.equal(refused, 0);
  first.child.kill('SIGKILL');
  await first.exited;
  const second = await start({ CUDA_SIM_DEVICES: '2GiB' });
  await until(async () => (await ask(second, '/v1/ready')).body.state === 'ready', 'all shards are restored');
  const { handles, lost } = (await ask(second, '/v1/ready')).body;
  t.equal(handles?.length, shards);
  t.same(lost, []);
});

t.test('a restore waits for a model directory that comes late', missing, async (t) => {
  const { models, gate, model, start } = workspace(t, {
    WORKER_MANIFEST: 'manifest.json',
    WORKER_FILE_TIMEOUT_SECONDS: '1',
  });
  model('hang-read');
  rmSync(gate);
  const first = await start();
  t.equal((await commit(first, 'a', 'hang-read')).status, 201);
  first.child.kill('SIGKILL');
  await first.exited;
  writeFileSync(gate, '');
  const second = await start();
  await until(() => /restore will be retried/.test(second.output()), 'the restore is retried');
  t.match((await ask(second, '/v1/ready')).body, { state: 'loading', lost: [] });
  renameSync(models, `${models}.away`);
  rmSync(gate);
  renameSync(`${models}.away`, models);
  await until(async () => (await ask(second, '/v1/ready')).body.state === 'ready', 'the shard is restored');
  t.equal((await ask(second, '/v1/ready')).body.handles?.length, 1);
});

t.test('readyz reports a call of the driver that hangs, long before its time limit', onSimulator, async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), { CUDA_SIM_FAULTS: 'cuMemGetInfo_v2:10=hang' });
  await until(async () => (await ask(worker, '/readyz')).status === 503, 'readyz knows of the stuck call');
  t.match((await ask(worker, '/readyz')).body.reasons, [{ code: 'CUDA_ERROR' }]);
  t.equal((await ask(worker, '/livez')).status, 200);
});
