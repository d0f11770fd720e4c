import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { verifyLog } from '../../src/audit/verify/verify_log.js';
import { patternBytes } from '../support/bytes.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

const body = patternBytes(5000);
const attempts = scale(60, 2000);

interface Answer {
  readonly status: number;
  readonly requestId: string;
  readonly json: Record<string, unknown>;
}

async function ask(worker: WorkerProcess, method: string, path: string, content?: Buffer | object): Promise<Answer> {
  const isJson = content !== undefined && !Buffer.isBuffer(content);
  const answer = await fetch(worker.url + path, {
    method,
    headers: { authorization: worker.authorization, ...(isJson ? { 'content-type': 'application/json' } : {}) },
    ...(content === undefined ? {} : { body: isJson ? JSON.stringify(content) : content }),
  });
  const text = await answer.text();
  const requestId = answer.headers.get('x-request-id') ?? '';
  return { status: answer.status, requestId, json: text === '' ? {} : JSON.parse(text) };
}

/** The state that a mutation can change, as text. */
async function stateOf(worker: WorkerProcess): Promise<string> {
  const [shards, devices] = [await ask(worker, 'GET', '/v1/shards'), await ask(worker, 'GET', '/v1/devices')];
  // A worker whose process was stopped for seconds reports overload for a while.
  return shards.status === 200 && devices.status === 200
    ? JSON.stringify([shards.json, devices.json])
    : stateOf(worker);
}

/** Waits until the state is stable, because the worker may still execute a request whose connection was lost. */
async function quiet(worker: WorkerProcess): Promise<void> {
  for (
    let [before, now] = ['', await stateOf(worker)];
    before !== now || /"(receiving|sealing|releasing)"/.test(now);
  ) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    [before, now] = [now, await stateOf(worker)];
  }
}

/** A mutation, and the event that must be on the log if it takes effect. `null`: the mutation is not recorded. */
interface Mutation {
  readonly event: string | null;
  readonly send: (worker: WorkerProcess) => Promise<Answer>;
}

const plan = { model_ref: 'm', model_bytes: 5, shard_layout: 'single', reserve: true, ttl_seconds: 3600 };
const commit = (id: number): Mutation => ({
  event: 'VramSealed',
  send: (worker) => ask(worker, 'PUT', `/v1/commit?shard_id=s${id}&model_ref=m`, body),
});
const verify = (id: number): Mutation => ({
  event: 'SealVerified',
  send: (worker) => ask(worker, 'POST', `/v1/shards/s${id}/verify`),
});
const release = (id: number): Mutation => ({
  event: 'VramDeallocated',
  send: (worker) => ask(worker, 'DELETE', `/v1/shards/s${id}`),
});
/** Creates a reservation, or deletes the one that it created before. */
function reserveOrDrop(): Mutation {
  let held: string | undefined;
  const send = async (worker: WorkerProcess) => {
    if (held !== undefined) {
      const dropped = await ask(worker, 'DELETE', `/v1/reservations/${held}`);
      if (dropped.status === 204) held = undefined;
      return dropped;
    }
    const made = await ask(worker, 'POST', '/v1/plan', plan);
    if (made.status === 200) held = (made.json.reservation as { reservation_id: string }).reservation_id;
    return made;
  };
  return { event: null, send };
}

/** Random mutations, the same in every run. */
function mutations(count: number): Mutation[] {
  const id = fc.nat(5);
  const any = fc.oneof(id.map(commit), id.map(verify), id.map(release), fc.constant(reserveOrDrop()));
  return fc.sample(any, { numRuns: count, seed: 4 });
}

/** Sends a mutation. Returns an error if it took effect and is not on the log, or if it was refused and changed state. */
async function unlogged(
  worker: WorkerProcess,
  log: string,
  { event, send }: Mutation,
): Promise<'no' | 'refused' | Error> {
  const before = await stateOf(worker);
  const answer = await send(worker);
  if (answer.status === 503) {
    const now = await stateOf(worker);
    const refusal = answer.json.code === 'AUDIT_UNAVAILABLE' ? 'refused' : 'no';
    return before === now ? refusal : new Error(`refused, yet done: ${before} became ${now}`);
  }
  if (answer.status >= 500) return new Error(JSON.stringify(answer));
  if (event === null || (![201, 204].includes(answer.status) && answer.json.verified !== true)) return 'no';
  const words = [`"event":"${event}"`, `"request_id":"${answer.requestId}"`];
  const lines = readFileSync(log, 'utf8').split('\n');
  return lines.some((line) => words.every((word) => line.includes(word)))
    ? 'no'
    : new Error(`${event} of ${answer.requestId} is not on the log`);
}

/** Runs mutations while `disturb` breaks the log and repairs it. */
async function undisturbed(
  t: Test,
  name: string,
  { worker, log }: { readonly worker: WorkerProcess; readonly log: string },
  disturb: (index: number) => void,
): Promise<void> {
  let refused = 0;
  let lost = 0;
  for (const [index, mutation] of mutations(attempts).entries()) {
    disturb(index);
    // On a busy machine the connection may time out before the answer. Such a mutation is not counted.
    const outcome = await unlogged(worker, log, mutation).catch(async (error: unknown) => {
      if (!(error instanceof TypeError)) throw error;
      lost++;
      await quiet(worker);
      return 'no' as const;
    });
    if (outcome instanceof Error) throw outcome;
    if (outcome === 'refused') refused++;
  }
  t.ok(refused > 0, `${refused} were refused`);
  t.ok(lost < attempts / 10, `${lost} were lost`);
  t.comment(
    `figure: mutations without an unlogged effect, ${name} ${attempts - lost} of ${attempts - lost} (${refused} refused)`,
  );
}

/** A new file system of 16 MiB. `undefined` if this user may not mount one. */
function smallDisk(t: Test): string | undefined {
  const directory = temporaryDirectory(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'none', directory], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  t.teardown(() => execFileSync('umount', ['-l', directory]));
  return directory;
}

/** Fills a disk except for `spareBytes`. */
function fill(directory: string, spareBytes: number): void {
  const filler = join(directory, 'filler');
  for (let bytes = 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) writeFileSync(filler, Buffer.alloc(bytes), { flag: 'a' });
    } catch {
      // A smaller piece may fit.
    }
  }
  execFileSync('truncate', ['-s', `-${spareBytes}`, filler]);
}

async function wholeAfter(t: Test, worker: WorkerProcess, log: string): Promise<void> {
  await until(async () => (await ask(worker, 'GET', '/readyz')).status === 200, 'the worker is not ready');
  t.equal((await commit(99).send(worker)).status, 201, 'commits succeed again without a restart');
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
  t.equal(verifyLog([log], { kept: new Map() }).kind, 'whole');
}

t.test('no mutation is unlogged while the disk is full', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return void t.pass('a small disk', { skip: 'only root can mount one' });
  const log = join(disk, 'audit.log');
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_AUDIT_LOG: log });
  await undisturbed(t, 'on a full disk', { worker, log }, (index) => {
    if (index % 20 === 3) fill(disk, 0);
    if (index % 20 === 18) rmSync(join(disk, 'filler'), { force: true });
  });
  rmSync(join(disk, 'filler'), { force: true });
  await wholeAfter(t, worker, log);
});

t.test('no mutation is unlogged while the disk is read-only', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return void t.pass('a small disk', { skip: 'only root can mount one' });
  const log = join(disk, 'audit.log');
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_AUDIT_LOG: log });
  // A file system with a file open for writing cannot be made read-only, so another one is mounted over it.
  let covered = false;
  const cover = (to: boolean) => {
    if (to && !covered) execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'none', disk]);
    if (!to && covered) execFileSync('umount', [disk]);
    covered = to;
  };
  t.teardown(() => cover(false));
  await undisturbed(t, 'read-only', { worker, log }, (index) => {
    if (index % 20 === 3) cover(true);
    if (index % 20 === 13) cover(false);
  });
  cover(false);
  await wholeAfter(t, worker, log);
});

t.test('no mutation is unlogged while the log is /dev/full', async (t) => {
  const directory = temporaryDirectory(t);
  const log = join(directory, 'audit.log');
  symlinkSync('/dev/full', log);
  const worker = await startProcess(t, directory, { WORKER_AUDIT_LOG: log });
  await undisturbed(t, 'on /dev/full', { worker, log }, () => undefined);
  rmSync(log);
  await wholeAfter(t, worker, log);
});

t.test('no mutation is unlogged while writes fail at random, also in the middle of a line', async (t) => {
  const log = join(temporaryDirectory(t), 'audit.log');
  const worker = await startProcess(t, temporaryDirectory(t), { WORKER_AUDIT_LOG: log });
  // The kernel limits the size of the process's files: a write ends at the limit, and the next one fails.
  const limit = (bytes: number | 'unlimited') =>
    execFileSync('prlimit', ['--pid', String(worker.child.pid), `--fsize=${bytes}:unlimited`]);
  // The simulated memory is such a file, so it grows to its final size before the first limit.
  for (let id = 10; id < 20; id++) await commit(id).send(worker);
  for (let id = 10; id < 20; id++) await release(id).send(worker);
  const spares = fc.sample(fc.option(fc.nat(2000), { freq: 3, nil: undefined }), { numRuns: attempts, seed: 5 });
  await undisturbed(t, 'failing at random', { worker, log }, (index) => {
    const spare = spares[index];
    limit(spare === undefined ? 'unlimited' : statSync(log).size + spare);
  });
  limit('unlimited');
  await wholeAfter(t, worker, log);
  t.match(readFileSync(log, 'utf8'), /AuditRecovered/);
});
