import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import {
  AttachError,
  type AttachEvent,
  attach,
  connect,
  type Lease,
  WorkerClient,
} from '../../../clients/node/src/index.js';
import { attachLibrary, buildAttachLibrary, fakeWorker } from '../../support/attach_library.js';
import { newDescriptors, openDescriptors } from '../../support/open_descriptors.js';
import { native, root } from '../../support/paths.js';
import { startProcess, temporaryDirectory } from '../../support/process.js';
import { until } from '../../support/until.js';

const execute = promisify(execFile);
const bytes = randomBytes(3_000_000);
const driverPath = join(native, 'libcuda_sim.so');
// The simulator of this process reads it. The UUIDs of simulated devices depend on their number only.
process.env.CUDA_SIM_DEVICES = '256MiB,256MiB';

t.before(buildAttachLibrary);

async function scene(t: Test, env: NodeJS.ProcessEnv = {}) {
  const directory = temporaryDirectory(t);
  const socketPath = join(directory, 'attach.sock');
  const environment = { WORKER_ATTACH_SOCKET: socketPath, ...env };
  const worker = await startProcess(t, directory, environment);
  const http = new WorkerClient({ url: worker.url, token: worker.authorization.replace('Bearer ', '') });
  const { shard } = await http.upload({ shard_id: 'a', model_ref: 'm' }, bytes);
  const options = { socketPath, driverPath, libraryPath: attachLibrary, clientName: 'test/1.0' };
  return { directory, environment, worker, http, shard, options };
}

const bytesOf = async (lease: Lease): Promise<Buffer> => Buffer.from(await lease.read(0, lease.bytes));

async function failure(call: Promise<unknown> | (() => unknown)): Promise<AttachError> {
  const error = await (typeof call === 'function' ? (async () => call())() : call).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof AttachError) return error;
  throw new Error(`no AttachError, but ${error}`);
}

t.test('a lease has the bytes, the handle, the receipt and a path of the memory', async (t) => {
  const { http, shard, options } = await scene(t);
  await using lease = await attach({ ...options, shardId: 'a', nonce: 'n-1', label: 'rank 0', maxAgeSeconds: 60 });
  t.match(lease, { bytes: bytes.length, mappedBytes: 4 << 20, device: 0, state: 'active' });
  t.equal(typeof lease.address, 'bigint');
  t.ok((await bytesOf(lease)).equals(bytes));
  t.ok(bytes.equals(lease.view()));
  t.ok(bytes.subarray(1000, 1100).equals(lease.view(1000, 100)));
  t.ok(readFileSync(lease.path()).subarray(0, bytes.length).equals(bytes));
  t.match(readlinkSync(lease.path()), /^\/memfd:cuda_sim:GPU-/);
  for (const [offset, length] of [
    [0, bytes.length + 1],
    [bytes.length, 1],
    [-1, 1],
    [0.5, 1],
    [1, Number.NaN],
  ] as const) {
    t.throws(() => lease.view(offset, length), RangeError);
    await t.rejects(lease.read(offset, length), RangeError);
  }
  t.match(await http.verifyHandle(lease.handle), { valid: true });
  const receipt = JSON.parse(Buffer.from(lease.receipt.split('.')[1] ?? '', 'base64url').toString());
  t.match(receipt, { lease_id: lease.leaseId, shard_id: 'a', tree_digest: shard.tree_digest, nonce: 'n-1' });
  t.match((await http.leases()).leases, [{ lease_id: lease.leaseId, label: 'rank 0', state: 'active' }]);
  t.match((await http.shard('a')).leases, 1);
});

t.test('closing a lease ends it and leaves no descriptor', async (t) => {
  const { http, options } = await scene(t);
  const client = await connect(options);
  t.match(client.worker, { driver: 'simulated', simulated: true });
  const before = openDescriptors();
  const lease = await client.attach({ modelRef: 'm', shardIndex: 0 });
  await lease.close();
  await lease.close();
  t.equal(lease.state, 'closed');
  t.same(newDescriptors(before), []);
  for (const use of [() => lease.path(), () => lease.view(), () => lease.read(0, 1)]) {
    t.match(await failure(use), { code: 'CLOSED' });
  }
  await until(async () => (await http.leases()).leases.length === 0);
  await client.attach({ shardId: 'a' });
  await client.close();
  await client.close();
  t.match(await failure(client.attach({ shardId: 'a' })), { code: 'CLOSED' });
  await until(async () => (await http.leases()).leases.length === 0);
  t.equal(await http.release('a'), undefined);
});

t.test('failures are AttachErrors with a code', async (t) => {
  const { options } = await scene(t);
  t.match(await failure(connect({ ...options, libraryPath: '/missing.so' })), {
    code: 'LIBRARY_NOT_FOUND',
    message: /\/missing\.so cannot be loaded: .*\(install clients\/c, or set libraryPath\)$/,
  });
  t.match(await failure(connect({ ...options, driverPath: '/missing.so' })), { code: 'DRIVER_NOT_FOUND' });
  t.match(await failure(connect({ ...options, socketPath: '/missing.sock' })), {
    code: 'NOT_CONNECTED',
    retriable: true,
  });
  t.match(await failure(attach({ ...options, shardId: 'b' })), { status: 'REFUSED', code: 'NOT_FOUND' });
  t.match(await failure(attach(options)), { code: 'INVALID_ARGUMENT' });
  const invalid = [{ shardId: 'a\0b' }, { shardId: 'a', maxAgeSeconds: -1 }, { modelRef: 'm', shardIndex: 0.5 }];
  for (const request of invalid)
    t.match(await failure(attach({ ...options, ...request })), { code: 'INVALID_ARGUMENT' });
  t.match(await failure(connect({ ...options, timeoutMs: 2 ** 32 })), { code: 'INVALID_ARGUMENT' });
  const digest = `sha256:${'0'.repeat(64)}`;
  t.match(await failure(attach({ ...options, shardId: 'a', expectedTreeDigest: digest })), { code: 'DIGEST_MISMATCH' });
});

/** Starts a worker that seals a shard of four small parts, and resumes every lease. */
async function startFakeWorker(t: Test, socketPath: string): Promise<ChildProcess> {
  const worker = spawn(fakeWorker, [socketPath, 'ok'], { env: { ATTACH_TEST_CUDA: native }, stdio: 'pipe' });
  t.teardown(() => void worker.kill('SIGKILL'));
  await new Promise((resolve) => worker.stdout.once('data', resolve));
  return worker;
}

t.test('a shard of several parts has no path, and its parts are one range of addresses', async (t) => {
  const socketPath = join(temporaryDirectory(t), 'attach.sock');
  await startFakeWorker(t, socketPath);
  await using lease = await attach({ socketPath, driverPath, libraryPath: attachLibrary, shardId: 's0' });
  t.match(await failure(() => lease.path()), { code: 'NOT_A_FILE', message: /4 parts/ });
  t.match(lease, { bytes: 3 * (2 << 20) + 4097, mappedBytes: 4 * (2 << 20), handle: 'handle-1', receipt: 'receipt-1' });
  const middle = await lease.read((2 << 20) - 10, 20);
  t.ok(Buffer.from(middle).equals(Buffer.from(lease.view((2 << 20) - 10, 20))));
  t.ok(new Set(middle).size > 5);
});

t.test('a killed worker leaves the memory, and events say what happened', async (t) => {
  const { directory, environment, worker, options } = await scene(t);
  await using client = await connect(options);
  const lease = await client.attach({ shardId: 'a' });
  const seen: AttachEvent[] = [];
  const reading = (async () => {
    for await (const event of lease.events()) seen.push(event);
  })();
  worker.child.kill('SIGKILL');
  await worker.exited;
  await until(() => seen.some(({ type }) => type === 'orphaned'));
  t.equal(lease.state, 'orphaned');
  t.ok((await bytesOf(lease)).equals(bytes));
  await startProcess(t, directory, environment);
  await until(() => seen.some(({ type }) => type === 'stale'), 'the next worker does not have the memory');
  t.match(seen, [
    { type: 'orphaned', lease, shardId: 'a' },
    { type: 'stale', lease, shardId: 'a' },
  ]);
  t.equal(lease.state, 'stale');
  t.ok((await bytesOf(lease)).equals(bytes));
  await client.close();
  await reading;
});

t.test('a lease is resumed if the next worker knows it', async (t) => {
  const socketPath = join(temporaryDirectory(t), 'attach.sock');
  const first = await startFakeWorker(t, socketPath);
  await using client = await connect({ socketPath, driverPath, libraryPath: attachLibrary });
  const { bootId } = client.worker;
  const lease = await client.attach({ shardId: 's1' });
  const events = lease.events();
  first.kill('SIGKILL');
  t.match(await events.next(), { value: { type: 'orphaned', lease } });
  await startFakeWorker(t, socketPath);
  t.match(await events.next(), { value: { type: 'resumed', lease } });
  t.match(lease, { state: 'active', handle: 'handle-resumed', receipt: 'receipt-resumed' });
  t.not(client.worker.bootId, bootId);
});

t.test('events wait until they are read, and each stream ends alone', async (t) => {
  const { http, options } = await scene(t);
  const client = await connect(options);
  const [one, two] = [await client.attach({ shardId: 'a' }), await client.attach({ shardId: 'a' })];
  const [all, ofOne, ofTwo] = [client.events(), one.events(), two.events()];
  const stop = new AbortController();
  const aborted = client.events(stop).next();
  stop.abort();
  await t.rejects(aborted, { name: 'AbortError' });
  await http.verify('a');
  await until(async () => (await all.next()).value?.type === 'verified');
  t.match(await all.next(), { value: { type: 'verified' } }, 'one for each lease');
  t.match(await ofTwo.next(), { value: { type: 'verified', lease: two } });
  for await (const event of ofOne) {
    t.match(event, { type: 'verified', lease: one });
    break;
  }
  t.match(await ofOne.next(), { done: true });
  const end = ofTwo.next();
  await client.close();
  t.match(
    [await end, await all.next(), await client.events().next()],
    [{ done: true }, { done: true }, { done: true }],
  );
});

t.test('waiting for events does not block the event loop, and a release names its deadline', async (t) => {
  const { http, options } = await scene(t);
  const lease = await attach({ ...options, shardId: 'a' });
  const events = lease.events();
  const next = events.next();
  for (let ticks = 0; ticks < 5; ticks++) await sleep(5);
  t.equal(await Promise.race([next, sleep(0, 'waiting')]), 'waiting', 'timers ran before the event');
  t.match(await http.release('a', { force: true, grace_seconds: 60 }), { shard_id: 'a' });
  const { value } = await next;
  t.match(value, { type: 'releasing', lease });
  t.ok(value !== undefined && value.deadlineMs > 50_000 && value.deadlineMs <= 60_000);
  await lease.close();
  t.match(await events.next(), { done: true });
  await until(async () => (await http.listShards()).shards.length === 0, 'the memory was not freed');
});

/** Runs a program that attaches, in a process of its own. */
async function runProgram(options: object, body: string, flags: readonly string[] = []) {
  const index = join(root, 'build', 'clients', 'node', 'src', 'index.js');
  const program = `import { attach, connect } from ${JSON.stringify(index)};
    const options = ${JSON.stringify(options)};\n${body}`;
  const env = { ...process.env, NODE_OPTIONS: '' };
  return await execute(process.execPath, [...flags, '--input-type=module', '-e', program], { env });
}

t.test('a view keeps the memory of a closed lease until it is collected', async (t) => {
  const { http, options } = await scene(t);
  const { stdout } = await runProgram(
    options,
    `const lease = await attach({ ...options, shardId: 'a' });
    let view = lease.view();
    const first = view[0];
    await lease.close();
    console.log(view[0] === first, lease.state);
    view = undefined;
    const { setTimeout: sleep } = await import('node:timers/promises');
    const { readFileSync } = await import('node:fs');
    let isMapped = true;
    for (let round = 0; isMapped && round < 200; round++) {
      gc();
      await sleep(20);
      isMapped = readFileSync('/proc/self/maps', 'utf8').includes('/memfd:cuda_sim:GPU-');
    }
    console.log(isMapped);`,
    ['--expose-gc'],
  );
  t.equal(stdout, 'true closed\nfalse\n');
  await until(async () => (await http.leases()).leases.length === 0);
});

t.test('a process that closes its client ends, and one that exits does so at once', async (t) => {
  const { options } = await scene(t);
  const client = `const client = await connect(options); await client.attach({ shardId: 'a' });`;
  t.equal((await runProgram(options, `${client} await client.close(); console.log('closed');`)).stdout, 'closed\n');
  const { stdout } = await runProgram(
    options,
    `${client} process.on('exit', () => console.log('exit')); process.exit(0);`,
  );
  t.equal(stdout, 'exit\n');
});

t.test('a write through a view ends the process, and changes nothing', async (t) => {
  const { http, options } = await scene(t);
  const writing = runProgram(
    options,
    `const lease = await attach({ ...options, shardId: 'a' }); lease.view()[0] ^= 1;`,
  );
  const signal = await writing.catch((error: unknown) => (error as { signal?: string }).signal);
  t.equal(signal, 'SIGSEGV');
  t.match(await http.verify('a'), { verified: true });
});
