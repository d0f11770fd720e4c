import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { type Run, run, type WorkerProcess } from '../support/process.js';
import { sha256 } from '../support/requests.js';
import { until } from '../support/until.js';
import { Holder } from './leases/holder.js';
import { ask, commit, kill, release, workspace } from './restarts/workspace.js';
import { scale } from './scale.js';

const kills = scale(8, 200);
const modelBytes = patternBytes(700_000);
const uploadBytes = patternBytes(3_000_000, 2);
const hex = (bytes: Buffer) => sha256(bytes).slice('sha256:'.length);

/** A keeper as a process, and workers that use it. */
async function scene(t: Test) {
  const socket = 'attach.sock';
  const { directory, start } = workspace(t, {
    WORKER_ATTACH_SOCKET: socket,
    WORKER_KEEPER_SOCKET: 'keeper.sock',
    WORKER_KEEPER_TOKEN_FILE: 'keeper.token',
    WORKER_MANIFEST: 'manifest',
    WORKER_AUDIT_LOG: 'audit.log',
    WORKER_ID: 'worker-1',
    WORKER_VERIFY_AFTER_LEASE: 'off',
  });
  writeFileSync(join(directory, 'keeper.token'), 'k'.repeat(32), { mode: 0o600 });
  const keeperEnv = { WORKER_KEEPER_SOCKET: 'keeper.sock', WORKER_KEEPER_TOKEN_FILE: 'keeper.token' };
  const keeper = run(t, directory, ['keep'], keeperEnv);
  await until(() => existsSync(join(directory, 'keeper.sock')), 'the keeper did not start');
  const events = () =>
    readFileSync(join(directory, 'audit.log'), 'utf8')
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line));
  return { directory, start, keeper, events, socket: join(directory, socket) };
}

const upload = (worker: WorkerProcess, shardId: string, body: Buffer) =>
  fetch(`${worker.url}/v1/commit?shard_id=${shardId}&model_ref=u`, {
    method: 'PUT',
    headers: { authorization: worker.authorization },
    body: new Uint8Array(body),
  });

const shardOf = async (worker: WorkerProcess, shardId: string) =>
  (await ask(worker, 'GET', `/v1/shards/${shardId}`)).body as { state?: string; kept?: boolean; code?: string };

const untilKept = (worker: WorkerProcess, shardId: string) =>
  until(async () => (await shardOf(worker, shardId)).kept === true, `${shardId} is not kept`);

const untilLoaded = (worker: WorkerProcess) =>
  until(async () => (await ask(worker, 'GET', '/v1/ready')).body.state === 'ready', 'it still loads');

const openFiles = ({ child }: Run): number => readdirSync(`/proc/${child.pid}/fd`).length;

const freeBytes = async (worker: WorkerProcess): Promise<number[]> =>
  ((await ask(worker, 'GET', '/v1/devices')).body as { devices: { free_bytes: number }[] }).devices.map(
    ({ free_bytes }) => free_bytes,
  );

/** What runs when the worker is killed. Failures are expected. */
const activities: Readonly<Record<string, (worker: WorkerProcess, holder: Holder, lease: string) => Promise<unknown>>> =
  {
    attach: (_, holder) => holder.attach('u'),
    scrub: (worker) => ask(worker, 'POST', '/v1/shards/u/verify'),
    repair: async (worker, holder, lease) => {
      await holder.write(lease, 300_000);
      return ask(worker, 'POST', '/v1/shards/f/verify');
    },
    commit: (worker) => commit(worker, `x${Math.floor(Math.random() * 3)}`),
    release: (worker) => release(worker, `x${Math.floor(Math.random() * 3)}`),
    'forced release': (worker) => ask(worker, 'DELETE', '/v1/shards/x0?force=true'),
  };

t.test('a worker killed at any moment leaves its memory to the next one, and processes read on', async (t) => {
  const { directory, start, keeper, events, socket } = await scene(t);
  let worker = await start();
  const free = await freeBytes(worker);
  // The keeper has the worker's connection once it has got memory.
  t.equal((await upload(worker, 'first', uploadBytes)).status, 201);
  await untilKept(worker, 'first');
  t.equal((await release(worker, 'first')).status, 204);
  const keeperFiles = openFiles(keeper);
  t.equal((await upload(worker, 'u', uploadBytes)).status, 201);
  t.equal((await commit(worker, 'f')).status, 201);
  await untilKept(worker, 'u');
  await untilKept(worker, 'f');
  const holder = new Holder(t);
  await holder.connect(socket);
  const { lease_id: onUpload = '' } = await holder.attach('u');
  const { lease_id: onFile = '' } = await holder.attach('f');
  let workerFiles = 0;
  for (let round = 0; round < kills; round++) {
    const names = Object.keys(activities);
    const name = names[round % names.length] ?? '';
    const other = new Holder(t);
    await other.connect(socket);
    const running = activities[name]?.(worker, name === 'repair' ? holder : other, onFile).catch(() => undefined);
    await sleep(Math.random() * 40);
    await kill(worker);
    await running;
    await other.kill();
    t.equal(await holder.digest(onUpload), hex(uploadBytes), `${name}: the process reads on`);
    worker = await start();
    await untilLoaded(worker);
    for (const [shardId, lease, bytes] of [
      ['u', onUpload, uploadBytes],
      ['f', onFile, modelBytes],
    ] as const) {
      t.match(await shardOf(worker, shardId), { state: 'sealed' }, `${name}: ${shardId} is proven`);
      t.equal(await holder.digest(lease), hex(bytes), `${name}: its memory is intact`);
    }
    t.notOk(events().some(({ event, shard_id }) => event === 'ShardLost' && /[uf]/.test(shard_id)));
    await holder.connect(socket);
    for (const lease of [onUpload, onFile]) t.match(await holder.resume(lease), { type: 'resumed' }, name);
    if (round === 0) workerFiles = openFiles(worker);
  }
  await until(
    () => openFiles(worker) <= workerFiles + 5,
    `at first the worker has ${workerFiles} descriptors, then more`,
  );
  await holder.kill();
  for (const shardId of ['u', 'f', 'x0', 'x1', 'x2']) {
    await until(async () => [204, 404].includes((await release(worker, shardId)).status), `${shardId} stays`);
  }
  t.same(await freeBytes(worker), free);
  await until(() => openFiles(keeper) === keeperFiles, 'the keeper has a descriptor of them');
  await until(() => readdirSync(join(directory, 'manifest.hashes')).length === 0);
});

t.test('leases outlive a killed worker: they are orphaned, then resumed, or end with their process', async (t) => {
  const { start, socket, events } = await scene(t);
  const first = await start();
  await upload(first, 'u', uploadBytes);
  await untilKept(first, 'u');
  const [stays, ends] = [new Holder(t), new Holder(t)];
  for (const holder of [stays, ends]) await holder.connect(socket);
  const { lease_id: lease = '', receipt: before } = await stays.attach('u');
  const { lease_id: ended = '' } = await ends.attach('u');
  const gone = new Holder(t);
  await gone.connect(socket);
  await gone.attach('u');
  await kill(first);
  await gone.kill();

  const second = await start();
  await untilLoaded(second);
  const leases = async () =>
    ((await ask(second, 'GET', '/v1/leases')).body as { leases: { lease_id: string; state: string }[] }).leases;
  t.same(
    (await leases()).map(({ lease_id, state }) => [lease_id, state]).sort(),
    [lease, ended].sort().map((one) => [one, 'orphaned']),
  );
  t.match((await release(second, 'u')).body, { code: 'SHARD_LEASED' });
  t.match((await ask(second, 'DELETE', '/v1/shards/u')).status, 409);

  const thief = new Holder(t);
  await thief.connect(socket);
  await thief.call('adopt_lease', { lease, allocation: await stays.call('allocation', { lease }) });
  t.match(await thief.resume(lease), { code: 'STALE_ALLOCATION' }, 'another process cannot resume it');
  await stays.connect(socket);
  t.match(await stays.call('resume_other', { lease }), { code: 'STALE_ALLOCATION' }, 'another allocation is stale');
  const resumed = await stays.resume(lease);
  t.match(resumed, { type: 'resumed', handle: /^ey/ });
  t.not(resumed.receipt, before);
  await ends.kill();
  await until(async () => (await leases()).length === 1, 'the lease of an ended process stays');
  t.match(await leases(), [{ lease_id: lease, state: 'active' }]);
  t.match(await stays.detach(lease), { type: 'detached' });
  t.equal((await release(second, 'u')).status, 204);
  t.match(
    events().filter(({ event, reason }) => event === 'LeaseEnded' && reason === 'process_ended'),
    [{}, {}],
  );
  await kill(second);
  const third = await start();
  t.same((await ask(third, 'GET', '/v1/leases')).body, { leases: [], next_cursor: null });
});

t.test(
  'an upload survives an upgrade by SIGTERM alongside an engine, and a shard that is not kept is wiped',
  async (t) => {
    const { start, socket, events } = await scene(t);
    const first = await start();
    await upload(first, 'u', uploadBytes);
    await untilKept(first, 'u');
    const plain = await fetch(`${first.url}/v1/commit?shard_id=p&model_ref=p&exportable=false`, {
      method: 'PUT',
      headers: { authorization: first.authorization },
      body: new Uint8Array(uploadBytes),
    });
    t.equal(plain.status, 201);
    const holder = new Holder(t);
    await holder.connect(socket);
    const { lease_id: lease = '' } = await holder.attach('u');
    first.child.kill('SIGTERM');
    t.equal(await first.exited, 0);
    t.match(
      events()
        .filter(({ event }) => event === 'ShardLeft' || event === 'VramDeallocated')
        .sort((one, two) => one.shard_id.localeCompare(two.shard_id)),
      [
        { event: 'VramDeallocated', shard_id: 'p' },
        { event: 'ShardLeft', shard_id: 'u', kept: true, leases: 1 },
      ],
    );
    t.equal(await holder.digest(lease), hex(uploadBytes));
    const second = await start();
    await untilLoaded(second);
    t.match(await shardOf(second, 'u'), { state: 'sealed', kept: true });
    await holder.connect(socket);
    t.match(await holder.resume(lease), { type: 'resumed' });
  },
);

t.test('while the keeper hangs, commits succeed, releases are refused, and a shutdown ends in time', async (t) => {
  const { start, keeper, events } = await scene(t);
  const worker = await start({ WORKER_DRAIN_SECONDS: '10' });
  await upload(worker, 'u', uploadBytes);
  await untilKept(worker, 'u');
  keeper.child.kill('SIGSTOP');
  t.equal((await commit(worker, 'f')).status, 201);
  t.match(await shardOf(worker, 'f'), { state: 'sealed', kept: false });
  t.match((await release(worker, 'u')).body, { code: 'KEEPER_UNAVAILABLE' });
  t.match(await shardOf(worker, 'u'), { state: 'sealed' }, 'nothing has changed');
  t.notOk(events().some(({ event }) => event === 'VramDeallocated'));
  keeper.child.kill('SIGCONT');
  await untilKept(worker, 'u');
  await untilKept(worker, 'f');
  t.equal((await release(worker, 'u')).status, 204);
  keeper.child.kill('SIGSTOP');
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
  t.ok(events().some(({ event }) => event === 'WorkerStopped'));
  keeper.child.kill('SIGKILL');
  await keeper.exited;
  const next = await start();
  await untilLoaded(next);
  t.match(await shardOf(next, 'f'), { state: 'sealed', kept: false }, 'it was read again');
});
