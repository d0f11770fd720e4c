import {
  chownSync,
  closeSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Allocation } from '../../../src/vram/allocation.js';
import { Driver } from '../../../src/vram/driver.js';
import { AttachClient } from '../../support/attach_client.js';
import { driverOptions } from '../../support/driver_options.js';
import { fileMemory, keeperClient } from '../../support/keeper.js';
import { askKeeper, descriptorsOf, keeperFiles, startKeeperProcess } from '../../support/keeper_process.js';
import { newDescriptors, openDescriptors } from '../../support/open_descriptors.js';
import { asOtherUser, canChangeUser, otherUser } from '../../support/other_user.js';
import { temporaryDirectory } from '../../support/process.js';
import { until } from '../../support/until.js';

const driver = await Driver.open(driverOptions(t));
t.teardown(() => driver.close());

const gpuUuid = 'GPU-0';

async function sealed(bytes: number) {
  const allocation = await driver.allocate(0, bytes, { exportable: true });
  await allocation.seal();
  return { allocation, layout: await allocation.layout() };
}

const digestOf = async (allocation: Allocation): Promise<string> =>
  allocation.treeDigest(await allocation.groupHashes()).toString();

t.test('memory survives the worker that sealed it, and is freed when it is dropped', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const keeper = await startKeeperProcess(t, files);
  const idle = descriptorsOf(keeper);
  const before = openDescriptors();
  const { allocation, layout } = await sealed(20_000_000);
  const digest = await digestOf(allocation);
  const worker = keeperClient(t, files.path, { token: files.token });
  await worker.keep({ allocationId: 'a1', gpuUuid, layout, allocation });
  await allocation.leave();
  worker.close();

  const next = keeperClient(t, files.path, { token: files.token });
  const memory = await next.take('a1');
  t.same(memory?.layout, layout);
  const adopted = await driver.adopt(0, layout, memory?.descriptors ?? []);
  for (const descriptor of memory?.descriptors ?? []) closeSync(descriptor);
  t.equal(await digestOf(adopted), digest);
  await next.drop('a1');
  await adopted.free();
  next.close();
  await until(() => descriptorsOf(keeper) === idle, 'the keeper has more descriptors than before');
  await until(() => newDescriptors(before).length === 0, 'this process has more descriptors than before');
});

t.test('kill -9 of the keeper: the worker knows that it holds nothing, and the next one gets all again', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const first = await startKeeperProcess(t, files);
  const worker = keeperClient(t, files.path, { token: files.token });
  const { allocation, layout } = await sealed(5_000_000);
  await worker.keep({ allocationId: 'a1', gpuUuid, layout, allocation });
  await worker.keep(fileMemory('a2'));
  first.child.kill('SIGKILL');
  await until(() => worker.custody('a1') === 'absent', 'the worker did not notice the end');
  await t.resolves(worker.drop('a2'), 'a release needs no keeper that has ended');
  t.ok(existsSync(files.path), 'a killed keeper leaves its socket');
  await startKeeperProcess(t, files);
  await until(() => worker.custody('a1') === 'kept', 'the memory was not handed over again');
  t.match(await askKeeper(t, files, '--list'), { output: /^.*"allocation_id":"a1".*\n$/ });
  await worker.drop('a1');
  await allocation.free();
});

t.test('a keeper that hangs holds up no release for long, and memory that it may have counts as kept', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const { child } = await startKeeperProcess(t, files);
  const worker = keeperClient(t, files.path, { token: files.token, waitMs: 1500 });
  await worker.connected(60_000);
  // If the answer comes too late, it gets the memory again.
  await worker.keep(fileMemory('a1')).catch(() => undefined);
  await until(() => worker.custody('a1') === 'kept', 'not kept');
  child.kill('SIGSTOP');
  t.equal(worker.custody('a1'), 'kept', 'it is kept while its keeper is connected');
  await t.rejects(worker.drop('a1'), { code: 'KEEPER_UNAVAILABLE' });
  t.equal(worker.custody('a1'), 'unknown');
  await t.rejects(worker.keep(fileMemory('a2')), { code: 'KEEPER_UNAVAILABLE' });
  t.not(worker.custody('a2'), 'kept');
  child.kill('SIGCONT');
  // The refused release did not happen, so the keeper gets the memory again.
  await until(() => ['a1', 'a2'].every((id) => worker.custody(id) === 'kept'), 'not kept again');
  await until(() => isDropped(worker, 'a1'), 'not dropped');
  t.match((await askKeeper(t, files, '--list')).output, /^.*"allocation_id":"a2".*\n$/);
});

t.test('what a worker sent before it gave up a hung keeper does not happen after a drop', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const { child } = await startKeeperProcess(t, files);
  const worker = keeperClient(t, files.path, { token: files.token, waitMs: 500 });
  await worker.connected(60_000);
  child.kill('SIGSTOP');
  const memories = ['a1', 'a2', 'a3'].map((id) => fileMemory(id));
  for (const memory of memories) await t.rejects(worker.keep(memory), { code: 'KEEPER_UNAVAILABLE' });
  for (const { allocationId } of memories) await worker.drop(allocationId).catch(() => undefined);
  child.kill('SIGCONT');
  for (const { allocationId } of memories) await until(() => isDropped(worker, allocationId), 'not dropped');
  await sleep(100);
  t.match(await askKeeper(t, files, '--list'), { status: 0, output: '' });
});

async function isDropped(worker: { drop(id: string): Promise<void> }, allocationId: string): Promise<boolean> {
  return worker.drop(allocationId).then(
    () => true,
    () => false,
  );
}

t.test('SIGTERM at any time ends the keeper at once, and its memory stays with the worker', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const { allocation, layout } = await sealed(5_000_000);
  const digest = await digestOf(allocation);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const keeper = await startKeeperProcess(t, files);
    const worker = keeperClient(t, files.path, { token: files.token });
    await worker.keep({ allocationId: 'a1', gpuUuid, layout, allocation });
    const silent = new AttachClient(files.path);
    keeper.child.kill(signal);
    t.equal(await keeper.exited, 0, signal);
    t.notOk(existsSync(files.path));
    await until(() => worker.custody('a1') === 'absent', 'the worker did not notice');
    t.equal(await digestOf(allocation), digest);
    silent.close();
    worker.close();
  }
  await allocation.free();
});

t.test('the token is replaced without a restart, which would lose the memory', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const keeper = await startKeeperProcess(t, files);
  const worker = keeperClient(t, files.path, { token: files.token });
  await worker.keep(fileMemory('a1'));
  const tokenFile = files.env.WORKER_KEEPER_TOKEN_FILE ?? '';
  writeFileSync(join(files.directory, 'new'), 'n'.repeat(40), { mode: 0o600 });
  renameSync(join(files.directory, 'new'), tokenFile);
  keeper.child.kill('SIGHUP');
  await until(() => /keeper token.*reloaded/.test(keeper.output()), 'not reloaded');
  const old = keeperClient(t, files.path, { token: files.token });
  const refusal = () =>
    old.connected(200).then(
      () => 'none',
      ({ code }: { code: string }) => code,
    );
  await until(async () => (await refusal()) === 'AUTH_FAILED', 'the previous token is not refused');
  t.match((await askKeeper(t, files, '--list')).output, /"allocation_id":"a1"/);
  writeFileSync(tokenFile, 'short');
  keeper.child.kill('SIGHUP');
  await until(() => /keeping the previous version/.test(keeper.output()), 'the invalid token is not reported');
  old.replaceToken('n'.repeat(40));
  await old.connected(60_000);
});

t.test('of two keepers at one socket, the second does not start, also after kill -9 of a third', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const first = await startKeeperProcess(t, files);
  await t.rejects(startKeeperProcess(t, files), { message: /ended with 78: .*in use by another process/ });
  const worker = keeperClient(t, files.path, { token: files.token });
  await worker.keep(fileMemory('a1'));
  first.child.kill('SIGKILL');
  await first.exited;
  await startKeeperProcess(t, files);
  await until(() => worker.custody('a1') === 'kept', 'not kept');
});

const needsRoot = { skip: canChangeUser ? false : 'needs root to start a keeper as another user' };

t.test('another process of the same user cannot read the keeper, which writes no core', needsRoot, async (t) => {
  const directory = temporaryDirectory(t);
  const files = keeperFiles(directory);
  for (const path of [directory, ...readdirSync(directory).map((name) => join(directory, name))]) {
    chownSync(path, otherUser, otherUser);
  }
  const largestCore = ['bash', '-c', 'ulimit -Sc hard && exec "$0" "$@"'];
  const keeper = await startKeeperProcess(t, files, [], [...asOtherUser, ...largestCore]);
  const of = (name: string) => `/proc/${keeper.child.pid}/${name}`;
  t.match(readFileSync(of('status'), 'utf8'), new RegExp(`^Uid:\\t${otherUser}\\t`, 'm'));
  t.equal(statSync(of('maps')).uid, 0, 'the files of a process that is not dumpable are of root');
  t.match(readFileSync(of('limits'), 'utf8'), /Max core file size +0 +0 /);
});

t.test('with few descriptors a keeper refuses memory before it has none left', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  await startKeeperProcess(t, files, [], ['prlimit', '--nofile=640:640']);
  const worker = keeperClient(t, files.path, { token: files.token });
  const codes = [];
  for (let n = 0; n < 20; n++) {
    const code = await worker.keep(fileMemory(`a${n}`, 16)).then(
      () => 'kept',
      (error: { code: string }) => error.code,
    );
    codes.push(code);
  }
  t.equal(codes.filter((code) => code === 'kept').length, 8, '128 descriptors');
  t.same([...new Set(codes.slice(8))], ['KEEPER_FULL']);
  await worker.drop('a0');
  await worker.keep(fileMemory('a8', 16));
});

t.test('memory that no worker claims is dropped after the hold time', async (t) => {
  const files = keeperFiles(temporaryDirectory(t));
  const keeper = await startKeeperProcess(t, files, ['--hold-seconds', '1']);
  const worker = keeperClient(t, files.path, { token: files.token });
  await worker.keep(fileMemory('a1'));
  await sleep(1500);
  t.match((await askKeeper(t, files, '--list')).output, /"unclaimed_seconds":null/, 'the worker claims it');
  worker.close();
  await until(() => /no worker claimed it/.test(keeper.output()), 'not dropped');
  t.match(await askKeeper(t, files, '--list'), { status: 0, output: '' });
});
