import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { AttachClient } from '../support/attach_client.js';
import { startAttachable } from '../support/attachable.js';
import { availableBytes, get, post, remove, sha256, upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import type { TestWorker } from '../support/worker.js';
import { Holder } from './leases/holder.js';

const bytes = randomBytes(3_000_000);
const digest = sha256(bytes).slice('sha256:'.length);

const leasesOf = async (worker: TestWorker) => (await get(worker, '/v1/leases')).json().leases;
const zombieBytes = async (worker: TestWorker): Promise<number> =>
  (await get(worker, '/v1/devices')).json().devices[0].zombie_bytes;
const eventsIn = (log: string): string[] =>
  readFileSync(log, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line).event);

/** The entries of these events are written in the background. */
const untilLogged = (log: string, event: string) => until(() => eventsIn(log).includes(event), `no ${event}`);

/** A worker with a shard, an audit log, and a process that attached the shard. */
async function scene(t: import('tap').Test, env: NodeJS.ProcessEnv = {}) {
  const log = join(temporaryDirectory(t), 'audit.log');
  const { worker, socket } = await startAttachable(t, { env: { WORKER_AUDIT_LOG: log, ...env } });
  const before = await availableBytes(worker);
  await upload(worker, 'a', bytes, { gpu_device: '0' });
  const holder = new Holder(t);
  await holder.connect(socket);
  const { lease_id: lease = '', type } = await holder.attach('a');
  t.equal(type, 'attached');
  return { worker, socket, log, before, holder, lease };
}

t.test('a lease ends with its process, and only then can the shard be released', async (t) => {
  const { worker, log, before, holder } = await scene(t);
  t.match((await remove(worker, '/v1/shards/a')).json(), { code: 'SHARD_LEASED' });
  await holder.kill();
  await until(async () => (await leasesOf(worker)).length === 0, 'the lease did not end');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);
  await untilLogged(log, 'LeaseEnded');
  const events = eventsIn(log).filter((event) => /Lease|Export|Dealloc/.test(event));
  t.same(events, ['ShardExported', 'LeaseGranted', 'LeaseEnded', 'VramDeallocated']);
  t.match(
    readFileSync(log, 'utf8'),
    new RegExp(`"LeaseGranted","severity":"info","actor":"uid:${process.geteuid?.()}"`),
  );
});

t.test('a lease lingers without its connection, and its process resumes it', async (t) => {
  const { worker, socket, holder, lease } = await scene(t);
  await holder.disconnect();
  await until(async () => (await leasesOf(worker))[0].state === 'lingering');
  t.match((await remove(worker, '/v1/shards/a')).json(), { code: 'SHARD_LEASED' });
  const other = await AttachClient.open(socket);
  t.match(
    (await other.ask('detach', { lease_id: lease })).get('code'),
    'NOT_FOUND',
    'the lease is not of this process',
  );
  other.close();
  await holder.connect(socket);
  t.match(await holder.resume(lease), { type: 'resumed', handle: /^ey/, receipt: /^ey/ });
  t.match(await leasesOf(worker), [{ lease_id: lease, state: 'active' }]);
  t.match(await holder.detach(lease), { type: 'detached' });
  t.same(await leasesOf(worker), []);
});

t.test(
  'a forced release waits for the process, wipes then, and the process reads intact bytes until it detaches',
  async (t) => {
    const { worker, log, before, holder, lease } = await scene(t);
    const answer = await remove(worker, '/v1/shards/a?force=true&grace_seconds=300');
    t.match([answer.statusCode, answer.json()], [202, { state: 'releasing', leases: 1 }]);
    t.equal(await zombieBytes(worker), 4_194_304);
    t.equal(await holder.digest(lease), digest);
    t.match(await holder.events(), [{ event: 'releasing', lease_id: lease, deadline_ms: '300000' }]);
    t.match(await holder.attach('a'), { code: 'SHARD_BUSY' });
    t.match((await remove(worker, '/v1/shards/a')).json(), { code: 'SHARD_BUSY' });
    t.match((await upload(worker, 'a', bytes)).json(), { code: 'SHARD_BUSY' });
    // The process keeps its descriptor, and so sees what the worker does to the memory.
    await holder.detach(lease, true);
    await until(async () => (await get(worker, '/v1/shards/a')).statusCode === 404, 'the shard was not freed');
    t.ok(await holder.isZero(lease), 'the memory was wiped before it was freed');
    t.equal(await zombieBytes(worker), 0);
    t.same(await availableBytes(worker), before);
    await untilLogged(log, 'VramDeallocated');
    const events = eventsIn(log).filter((event) => /Lease|Force|Dealloc/.test(event));
    t.same(events, ['LeaseGranted', 'ReleaseForced', 'LeaseRefused', 'LeaseEnded', 'VramDeallocated']);
  },
);

t.test('a forced release closes the connections after the grace period, and still waits for the process', async (t) => {
  const { worker, holder, lease } = await scene(t);
  t.equal((await remove(worker, '/v1/shards/a?force=true')).statusCode, 202);
  await until(async () => (await leasesOf(worker))[0]?.state === 'lingering');
  t.equal(await holder.digest(lease), digest);
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'releasing' });
  await holder.kill();
  await until(async () => (await get(worker, '/v1/shards/a')).statusCode === 404);
});

t.test('a second forced release shortens the grace period', async (t) => {
  const { worker, holder, lease } = await scene(t);
  t.equal((await remove(worker, '/v1/shards/a?force=true&grace_seconds=300')).statusCode, 202);
  t.match(await leasesOf(worker), [{ state: 'active' }]);
  const again = await remove(worker, '/v1/shards/a?force=true&grace_seconds=0');
  t.match([again.statusCode, again.json()], [202, { state: 'releasing', leases: 1 }]);
  await until(async () => (await leasesOf(worker))[0]?.state === 'lingering', 'the connection is open');
  t.equal(await holder.digest(lease), digest);
  await holder.kill();
  await until(async () => (await get(worker, '/v1/shards/a')).statusCode === 404);
});

t.test('a write by the process is found, its lease is a candidate, and no new process gets the shard', async (t) => {
  const { worker, log, holder, lease } = await scene(t);
  await holder.write(lease, 1_000_000);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), {
    verified: false,
    corrupt_ranges: [{ offset: 524_288, length: 524_288 }],
  });
  t.match(await holder.events(), [{ event: 'corrupt', lease_id: lease, shard_id: 'a' }]);
  t.match(await holder.attach('a'), { code: 'SHARD_CONFLICT' });
  await untilLogged(log, 'SealVerificationFailed');
  const entry = readFileSync(log, 'utf8')
    .split('\n')
    .find((line) => line.includes('"SealVerificationFailed"'));
  t.match(JSON.parse(entry ?? '{}'), { candidates: [{ lease_id: lease, peer: { pid: holder.child.pid } }] });
});

t.test('a process that was not connected when damage was found learns of it when it resumes its lease', async (t) => {
  const { worker, socket, holder, lease } = await scene(t);
  await holder.write(lease, 5);
  await holder.disconnect();
  await until(async () => (await leasesOf(worker))[0].state === 'lingering');
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: false });
  await holder.connect(socket);
  t.match(await holder.resume(lease), { type: 'resumed' });
  t.match(await holder.events(), [{ event: 'corrupt', lease_id: lease, shard_id: 'a' }]);
});

t.test('a shard is verified after a process that had it ended, also if scrubbing is off', async (t) => {
  const { worker, holder, lease } = await scene(t, { WORKER_SCRUB_SECONDS: '0' });
  await holder.write(lease, 5);
  await holder.kill();
  await until(async () => (await get(worker, '/v1/shards/a')).json().state === 'corrupt', 'the damage was not found');
});

t.test('a damaged shard is repaired in place while a process has it, which learns of it', async (t) => {
  const modelDir = temporaryDirectory(t);
  const { writeFileSync } = await import('node:fs');
  writeFileSync(join(modelDir, 'model'), bytes);
  const { worker, socket } = await startAttachable(t, { env: { WORKER_MODEL_DIR: modelDir } });
  const source = { type: 'file', path: 'model' };
  t.equal((await post(worker, '/v1/commit', { shard_id: 'f', model_ref: 'm', source })).statusCode, 201);
  const holder = new Holder(t);
  await holder.connect(socket);
  const { lease_id: lease = '' } = await holder.attach('f');
  await holder.write(lease, 2_000_000);
  t.not(await holder.digest(lease), digest);
  await post(worker, '/v1/shards/f/verify');
  await until(async () => (await get(worker, '/v1/shards/f')).json().state === 'sealed', 'it was not repaired');
  t.equal(await holder.digest(lease), digest);
  t.match(await holder.events(), [{ event: 'corrupt' }, { event: 'repaired', handle: /^ey/ }]);
});

t.test('an operator ends a lease for good, and the memory stays until the process ends', async (t) => {
  const { worker, socket, holder, lease } = await scene(t);
  t.match((await remove(worker, `/v1/leases/${lease}`)).json(), { lease_id: lease, state: 'lingering' });
  t.equal((await remove(worker, '/v1/leases/unknown')).statusCode, 404);
  await t.rejects(holder.attach('a'), 'the connection is closed');
  await holder.connect(socket);
  t.match(await holder.resume(lease), { code: 'FORBIDDEN', retriable: 'false' });
  t.equal(await holder.digest(lease), digest);
  t.match((await remove(worker, '/v1/shards/a')).json(), { code: 'SHARD_LEASED' });
  await holder.kill();
  await until(async () => (await leasesOf(worker)).length === 0);
});

t.test('a shutdown leaves leased memory unwiped, wipes the rest, and tells the processes', async (t) => {
  const { worker, log, holder, lease } = await scene(t);
  await upload(worker, 'b', bytes);
  const second = await holder.attach('b');
  await holder.detach(second.lease_id ?? '', true);
  await worker.stop();
  t.equal(await holder.digest(lease), digest);
  t.ok(await holder.isZero(second.lease_id ?? ''), 'a shard without a lease is wiped');
  t.match(await holder.events(), [{ event: 'draining' }]);
  const events = eventsIn(log).filter((event) => /Left|Dealloc/.test(event));
  t.same(events.sort(), ['ShardLeft', 'VramDeallocated']);
});

t.test('a client that does not read its answers delays no other one', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', bytes);
  const silent = await AttachClient.open(socket);
  // Each answer is larger than the request, and none is read.
  for (let id = 1; id <= 4000; id++) silent.send('list', { id });
  const other = await AttachClient.open(socket);
  t.equal((await other.ask('attach', { shard_id: 'a' })).type, 'attached');
  other.close();
  silent.close();
  await until(async () => (await leasesOf(worker)).every(({ state }: { state: string }) => state === 'lingering'));
});
