import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { faultsAfterStart, run, startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { until } from '../../support/until.js';

interface Body {
  readonly state: string;
  readonly ready: boolean;
  readonly valid: boolean;
  readonly reason: string | null;
  readonly handle: string;
  readonly reasons: readonly { readonly code: string; readonly detail: string }[];
  readonly handles: readonly { readonly handle: string; readonly shard: { readonly shard_id: string } }[];
  readonly lost: readonly { readonly shard_id: string; readonly detail: string }[];
  readonly scrub: { readonly state: string };
}

async function ask(worker: WorkerProcess, path: string, json?: object): Promise<{ status: number; body: Body }> {
  const headers = { authorization: worker.authorization, 'content-type': 'application/json' };
  const request = json === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(json) };
  const answer = await fetch(worker.url + path, request);
  return { status: answer.status, body: (await answer.json()) as Body };
}

/** A directory with two models, in which one worker follows another. */
function workspace(t: Test) {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'models'));
  writeFileSync(join(directory, 'models', 'a'), patternBytes(3_000_000));
  writeFileSync(join(directory, 'models', 'b'), patternBytes(5000, 2));
  const env = { WORKER_MODEL_DIR: 'models', WORKER_MANIFEST: 'manifest.json', WORKER_AUDIT_LOG: 'audit.log' };
  const start = (more: NodeJS.ProcessEnv = {}) => startProcess(t, directory, { ...env, ...more });
  return { directory, env, start };
}

const commit = (worker: WorkerProcess, shardId: string) =>
  ask(worker, '/v1/commit', { shard_id: shardId, model_ref: shardId, source: { type: 'file', path: shardId } });
const loaded = (worker: WorkerProcess) => until(async () => (await ask(worker, '/v1/ready')).body.state === 'ready');
const shardIds = (body: Body) => body.handles.map(({ shard }) => shard.shard_id).sort();

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  t.test(
    `after ${signal} the next process restores the shards from files and reports the others as lost`,
    async (t) => {
      const { directory, start } = workspace(t);
      const first = await start();
      const { handle } = (await commit(first, 'a')).body;
      await commit(first, 'b');
      const upload = `${first.url}/v1/commit?shard_id=u&model_ref=u`;
      const headers = { authorization: first.authorization };
      await fetch(upload, { method: 'PUT', headers, body: patternBytes(5000, 3) });
      first.child.kill(signal);
      await first.exited;
      rmSync(join(directory, 'models', 'b'));

      const second = await start();
      await loaded(second);
      const { status, body } = await ask(second, '/v1/ready');
      t.equal(status, 200);
      t.same(shardIds(body), ['a']);
      t.same(body.reasons, []);
      t.match(body.lost.map(({ shard_id, detail }) => `${shard_id}: ${detail}`).sort(), [
        /^b: .*file/,
        /^u: .*no source/,
      ]);
      t.match((await ask(second, '/v1/handles/verify', { handle })).body, { valid: false, reason: 'stale_boot' });
      const current = body.handles[0]?.handle;
      t.match((await ask(second, '/v1/handles/verify', { handle: current })).body, { valid: true });
      const logged = /"shard lost".*\n(.*\n)*.*"shard lost"/;
      await until(() => logged.test(second.output()), 'the log reports both');
      t.match(second.output(), logged);
      t.match(readFileSync(join(directory, 'audit.log'), 'utf8'), /"ShardLost".*"u"/);
    },
  );
}

t.test('a worker killed during a restore restores every shard at the next start', async (t) => {
  const { start } = workspace(t);
  const first = await start();
  for (const name of ['a', 'b']) await commit(first, name);
  first.child.kill('SIGKILL');
  await first.exited;
  const second = await start(faultsAfterStart('cuMemcpyHtoDAsync_v2:1+=hang'));
  t.equal((await ask(second, '/v1/ready')).body.state, 'loading');
  second.child.kill('SIGKILL');
  await second.exited;
  const third = await start();
  await loaded(third);
  t.same(shardIds((await ask(third, '/v1/ready')).body), ['a', 'b']);
});

t.test('the worker refuses to start on a damaged manifest, as on an invalid setting', async (t) => {
  const { directory, env } = workspace(t);
  writeFileSync(join(directory, 'manifest.json'), '{"version":1,"sha', { mode: 0o600 });
  const { exited, errors } = run(t, directory, ['serve', '--simulate'], { ...env, WORKER_BIND_ADDR: '127.0.0.1:0' });
  t.equal(await exited, 78);
  t.match(errors(), /WORKER_MANIFEST: manifest\.json is damaged/);
  t.notOk(existsSync(join(directory, 'manifest.json.new')));
});

t.test('SIGUSR2 pauses and resumes background verification', async (t) => {
  const { start } = workspace(t);
  const worker = await start();
  const state = async () => (await ask(worker, '/v1/ready')).body.scrub.state;
  t.equal(await state(), 'waiting');
  worker.child.kill('SIGUSR2');
  await until(async () => (await state()) === 'paused');
  worker.child.kill('SIGUSR2');
  await until(async () => (await state()) === 'waiting');
  const logged = /background verification paused.*background verification resumed/s;
  await until(() => logged.test(worker.output()), 'the log reports both');
  t.match(worker.output(), logged);
});
