import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { startAttachable } from '../support/attachable.js';
import { claimsOf } from '../support/handles.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { get, remove, sha256, upload } from '../support/requests.js';
import { until } from '../support/until.js';
import type { TestWorker } from '../support/worker.js';
import { Holder } from './leases/holder.js';

const bytes = randomBytes(3_000_000);
const digest = sha256(bytes).slice('sha256:'.length);

const isRoot = process.geteuid?.() === 0;
const needsRoot = isRoot ? {} : { skip: 'needs root' };
const needsNamespaces =
  isRoot && spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0 ? {} : { skip: 'needs pid namespaces' };

const leasesOf = async (worker: TestWorker) => (await get(worker, '/v1/leases')).json().leases;

async function scene(t: Test, { prefix = [], env = {} }: { prefix?: string[]; env?: NodeJS.ProcessEnv } = {}) {
  const { worker, socket } = await startAttachable(t, { env });
  await upload(worker, 'a', bytes, { gpu_device: '0' });
  return { worker, socket, holder: new Holder(t, prefix) };
}

t.test('a lease outlives its process for as long as a forked process has the connection', async (t) => {
  // Node closes the standard input of a child that has ended.
  const { worker, socket, holder } = await scene(t, { prefix: ['sh', '-c', '"$@"; exec sleep 60 >&-', 'sh'] });
  await holder.connect(socket);
  const { lease_id: lease = '' } = await holder.attach('a');
  const [{ pid }] = await leasesOf(worker);
  await holder.fork();
  await until(() => !existsSync(`/proc/${pid}`), 'the process did not end');
  t.equal(await holder.digest(lease), digest);
  t.match(await holder.attach('a'), { code: 'FORBIDDEN' }, 'the receipt would name a process that has ended');
  t.match(await leasesOf(worker), [{ lease_id: lease, state: 'active' }]);
  t.match((await remove(worker, '/v1/shards/a')).json(), { code: 'SHARD_LEASED' });
  await holder.disconnect();
  await until(async () => (await leasesOf(worker)).length === 0, 'the lease did not end');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
});

t.test('a process of another pid namespace is followed, and resumes its lease', needsNamespaces, async (t) => {
  const before = openDescriptors();
  const { worker, socket, holder } = await scene(t, { prefix: ['unshare', '--pid', '--fork', '--kill-child'] });
  await holder.connect(socket);
  const answer = await holder.attach('a');
  const lease = answer.lease_id ?? '';
  t.match(claimsOf(answer.receipt ?? ''), { peer: { uid: 0 } });
  await holder.disconnect();
  await until(async () => (await leasesOf(worker))[0]?.state === 'lingering', 'the lease did not linger');
  await holder.connect(socket);
  t.match(await holder.resume(lease), { type: 'resumed' });
  await holder.kill();
  await until(async () => (await leasesOf(worker)).length === 0, 'the lease did not end');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  await worker.stop();
  await until(() => newDescriptors(before).length <= 10);
});

t.test('a process with too few free descriptors gets less memory, and the lease stays until it ends', async (t) => {
  const { worker, socket, holder } = await scene(t);
  const large = randomBytes(5_000_000);
  await upload(worker, 'large', large, { gpu_device: '0' });
  await holder.connect(socket);
  await holder.limitFiles(true);
  await t.rejects(holder.attach('large'), /descriptors are missing/);
  await until(async () => (await leasesOf(worker))[0]?.state === 'active', 'the lease is not active');
  t.match(await leasesOf(worker), [{ shard_id: 'large' }]);
  t.match((await remove(worker, '/v1/shards/large')).json(), { code: 'SHARD_LEASED' });
  await holder.limitFiles(false);
  t.match(await holder.attach('large'), { type: 'attached' }, 'the session stays');
  await holder.kill();
  await until(async () => (await leasesOf(worker)).length === 0);
});

t.test('a process can neither shorten nor extend what it got', async (t) => {
  const { worker, socket, holder } = await scene(t);
  await holder.connect(socket);
  const { lease_id: lease = '' } = await holder.attach('a');
  t.equal(await holder.truncate(lease), 'refused');
  t.equal(await holder.digest(lease), digest);
  t.match((await worker.inject({ method: 'POST', url: '/v1/shards/a/verify' })).json(), { verified: true });
});

t.test('members of the group may attach, and others may not', needsRoot, async (t) => {
  const { socket } = await scene(t, { env: { WORKER_ATTACH_GROUP: '4321' } });
  chmodSync(dirname(socket), 0o755);
  const as = (uid: number, gid: number, groups: string[]) =>
    new Holder(t, ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...groups]);
  for (const groups of [['--groups=4321'], ['--groups=1,2,4321']]) {
    const member = as(1234, 1234, groups);
    t.match(await member.connect(socket), { type: 'welcome' });
    const { lease_id: lease = '' } = await member.attach('a');
    t.equal(await member.digest(lease), digest);
  }
  t.match(await as(1234, 4321, ['--clear-groups']).connect(socket), { type: 'welcome' }, 'the primary group');
  const other = as(1234, 1234, ['--clear-groups']);
  await t.rejects(other.connect(socket), /PermissionError/, 'the file has mode 0660');
  chmodSync(socket, 0o666);
  t.match(await other.connect(socket), { type: 'error', code: 'FORBIDDEN' });
});

t.test('only the users in WORKER_ATTACH_UIDS may attach, not even the own one', needsRoot, async (t) => {
  const { socket, holder } = await scene(t, { env: { WORKER_ATTACH_UIDS: '1234' } });
  t.match(await holder.connect(socket), { type: 'error', code: 'FORBIDDEN' });
  execFileSync('chmod', ['755', dirname(socket)]);
  chmodSync(socket, 0o666);
  t.match(await new Holder(t, ['setpriv', '--reuid=1234', '--clear-groups']).connect(socket), { type: 'welcome' });
});
