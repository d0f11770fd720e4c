import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { Holder } from '../../faults/leases/holder.js';
import { AttachClient } from '../../support/attach_client.js';
import { attachLibrary, buildAttachLibrary } from '../../support/attach_library.js';
import { native } from '../../support/paths.js';
import { run, startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { sha256 } from '../../support/requests.js';
import { until } from '../../support/until.js';

const execute = promisify(execFile);

const bytes = randomBytes(5_000_000);
const digest = sha256(bytes).slice('sha256:'.length);

async function commit({ url, authorization }: WorkerProcess, shardId: string): Promise<void> {
  const answer = await fetch(`${url}/v1/commit?shard_id=${shardId}&model_ref=m`, {
    method: 'PUT',
    headers: { authorization },
    body: bytes,
  });
  if (answer.status !== 201) throw new Error(await answer.text());
}

/** A worker with an attach socket and a shard, and a process that attached the shard. */
async function scene(t: Test) {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'attach.sock');
  const env = { WORKER_ATTACH_SOCKET: socket };
  const worker = await startProcess(t, directory, env);
  await commit(worker, 'a');
  const holder = new Holder(t);
  await holder.connect(socket);
  const { lease_id: lease = '' } = await holder.attach('a');
  return { directory, socket, env, worker, holder, lease };
}

t.test('the C client maps a shard of a worker', async (t) => {
  const { socket } = await scene(t);
  await buildAttachLibrary();
  const program = [join(dirname(attachLibrary), 'example'), socket, join(native, 'libcuda_sim.so'), 'a'];
  // The devices of a simulated worker have UUIDs that depend on their number only.
  const { stdout } = await execute('env', ['CUDA_SIM_DEVICES=256MiB,256MiB', ...program]);
  t.match(stdout, `attached ${bytes.length} bytes`);
  t.match(stdout, `first byte ${bytes[0]}\n`);
});

t.test('a process reads on when the worker is killed, and the next worker takes over the socket', async (t) => {
  const { directory, socket, env, worker, holder, lease } = await scene(t);
  worker.child.kill('SIGKILL');
  t.equal(await worker.exited, 'SIGKILL');
  t.equal(await holder.digest(lease), digest);
  t.ok(existsSync(socket), 'a killed worker leaves its socket');
  await startProcess(t, directory, env);
  t.match(await holder.connect(socket), { type: 'welcome' });
  t.match(await holder.resume(lease), { code: 'STALE_ALLOCATION' });
  t.equal(await holder.digest(lease), digest);
});

t.test('SIGTERM leaves leased memory to its process, and removes the socket', async (t) => {
  const { socket, worker, holder, lease } = await scene(t);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
  t.equal(await holder.digest(lease), digest);
  t.match(await holder.events(), [{ event: 'draining' }]);
  t.notOk(existsSync(socket));
});

t.test('after a new attach token, open connections continue, and others need the new one', async (t) => {
  const directory = temporaryDirectory(t);
  const [socket, file, log] = [join(directory, 's'), join(directory, 'token'), join(directory, 'audit.log')];
  const [first, second] = ['1'.repeat(32), '2'.repeat(32)];
  writeFileSync(file, first, { mode: 0o600 });
  const env = { WORKER_ATTACH_SOCKET: socket, WORKER_ATTACH_TOKEN_FILE: file, WORKER_AUDIT_LOG: log };
  const worker = await startProcess(t, directory, env);
  const open = await AttachClient.open(socket, { token: first });
  writeFileSync(file, second);
  worker.child.kill('SIGHUP');
  await until(() => /"TokenReplaced".*"attach"/.test(readFileSync(log, 'utf8')), 'the token was not replaced');
  await t.rejects(AttachClient.open(socket, { token: first }), { message: 'refused: AUTH_FAILED' });
  (await AttachClient.open(socket, { token: second })).close();
  t.equal((await open.ask('list')).type, 'shards');
  open.close();
});

t.test('a worker refuses a socket that others could replace or that another worker has', async (t) => {
  const directory = temporaryDirectory(t);
  const start = async (env: NodeJS.ProcessEnv) => {
    const { exited, errors } = run(t, directory, ['serve', '--simulate'], { WORKER_BIND_ADDR: '127.0.0.1:0', ...env });
    return [await exited, errors()];
  };
  const socket = join(directory, 'attach.sock');
  t.match(await start({ WORKER_ATTACH_UIDS: '1000' }), [78, /WORKER_ATTACH_UIDS has no effect/]);
  chmodSync(directory, 0o770);
  t.match(await start({ WORKER_ATTACH_SOCKET: socket }), [78, /WORKER_ATTACH_SOCKET.*others must not write it/]);
  chmodSync(directory, 0o700);
  await startProcess(t, directory, { WORKER_ATTACH_SOCKET: socket });
  t.match(await start({ WORKER_ATTACH_SOCKET: socket }), [78, /in use by another process/]);
});
