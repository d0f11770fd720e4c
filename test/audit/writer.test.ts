import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type AuditLine, eventsOf, linesOf, readChain, sha256 as sha256Hex } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { temporaryDirectory } from '../support/process.js';
import { availableBytes, get, post, remove, sha256, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker, type TestWorker, token } from '../support/worker.js';

const bytes = patternBytes(5000);
const operator = `operator:${sha256Hex(token).slice(0, 16)}`;

t.afterEach(() => simulator.reset());

t.test('what happens is on the log, chained, also over a restart', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const env = { WORKER_AUDIT_LOG: path };
  const first = await startWorker(t, { env });
  await upload(first, 'a', bytes);
  await post(first, '/v1/shards/a/verify');
  await upload(first, 'b', bytes, { expected_digest: '0'.repeat(64) });
  await remove(first, '/v1/shards/a');
  await first.app.inject({ url: '/v1/devices', headers: { authorization: 'Bearer wrong' } });
  await first.stop();
  const second = await startWorker(t, { env });
  await upload(second, 'c', bytes);
  await second.stop();
  t.same(eventsOf(path), [
    'WorkerStarted',
    'VramAllocated',
    'VramSealed',
    'SealVerified',
    'VramAllocated',
    'VramDeallocated',
    'VramDeallocated',
    'AuthFailed',
    'WorkerStopped',
    'AuditCheckpoint',
    'WorkerStarted',
    'VramAllocated',
    'VramSealed',
    'VramDeallocated',
    'WorkerStopped',
    'AuditCheckpoint',
  ]);
  t.notMatch(readFileSync(path, 'utf8'), 'wrong', 'no token');
});

t.test('each entry says when, who, by which request, which shard, and its digests', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const committed = await upload(worker, 'a', bytes, { expected_digest: sha256(bytes) });
  const { shard, handle } = committed.json();
  const verified = await post(worker, '/v1/shards/a/verify');
  const failed = await upload(worker, 'b', bytes, { expected_digest: '0'.repeat(64) });
  const released = await remove(worker, '/v1/shards/a');
  await upload(worker, 'c', bytes);
  await worker.stop();

  const entries = readChain(path);
  for (const entry of entries) {
    const first = Object.keys(entry).slice(0, 9);
    const common = ['seq', 'time', 'event', 'severity', 'actor', 'request_id', 'shard_id', 'digest', 'tree_digest'];
    t.same(first, common, entry.event);
    t.match(entry.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  const of = (event: string, shardId: string): AuditLine | undefined =>
    entries.find((entry) => entry.event === event && entry.shard_id === shardId);
  const by = (answer: typeof committed) => ({ actor: operator, request_id: answer.headers['x-request-id'] });
  const digests = { digest: shard.digest, tree_digest: shard.tree_digest };
  const { jti } = JSON.parse(Buffer.from(handle.split('.')[1], 'base64url').toString());
  const common = { severity: 'info', model_ref: 'model', gpu_device: Number, vram_bytes: 5000 };
  t.match(entries[0], {
    event: 'WorkerStarted',
    actor: 'worker',
    request_id: null,
    shard_id: null,
    worker_id: 'worker-1',
  });
  const expected = { expected_digest: sha256(bytes), expected_tree_digest: null };
  t.match(of('VramAllocated', 'a'), { ...common, ...by(committed), digest: null, tree_digest: null, ...expected });
  t.match(of('VramSealed', 'a'), { ...common, ...by(committed), ...digests, jti });
  t.match(of('SealVerified', 'a'), { ...common, ...by(verified), ...digests, jti });
  t.match(of('VramDeallocated', 'b'), { ...common, ...by(failed), digest: null, reason: 'DIGEST_MISMATCH' });
  t.match(of('VramDeallocated', 'a'), { ...common, ...by(released), ...digests, jti, reason: 'released' });
  const atStop = { actor: 'worker', request_id: null, ...digests, reason: 'stopped' };
  t.match(of('VramDeallocated', 'c'), { ...common, ...atStop });
});

t.test('damage, and memory that is not what a seal demands, are critical', onSimulator, async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  simulator.spoofs('is_managed=1');
  await upload(worker, 'a', bytes);
  simulator.spoofs('');
  await upload(worker, 'b', bytes);
  simulator.spoofs('host_pointer=1');
  const verified = await post(worker, '/v1/shards/b/verify');
  const critical = readChain(path).filter(({ severity }) => severity === 'critical');
  const by = { actor: operator, request_id: verified.headers['x-request-id'], shard_id: 'b', digest: sha256(bytes) };
  t.match(critical, [
    { event: 'PolicyViolation', shard_id: 'a', detail: String },
    { event: 'PolicyViolation', ...by },
    { event: 'SealVerificationFailed', ...by, corrupt_ranges: [], corrupt_range_count: 0 },
  ]);
});

t.test("a verification that a poller asked for is the poller's", async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  const reader = 'reader-token-0123456789abcdef0123456789';
  writeFileSync(join(directory, 'reader'), reader, { mode: 0o600 });
  const env = { WORKER_AUDIT_LOG: path, WORKER_READ_TOKEN_FILE: join(directory, 'reader') };
  const worker = await startWorker(t, { env });
  await upload(worker, 'a', bytes);
  await sleep(1100);
  const authorization = `Bearer ${reader}`;
  const answer = await worker.app.inject({ url: '/v1/ready?max_age_seconds=1', headers: { authorization } });
  t.equal(answer.statusCode, 200);
  const actor = `reader:${sha256Hex(reader).slice(0, 16)}`;
  t.match(readChain(path).at(-1), { event: 'SealVerified', actor, request_id: answer.headers['x-request-id'] });
});

t.test('failed authentications are told of once, and counted, however many they are', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const attempts = Array.from({ length: 200 }, (_, index) =>
    worker.app.inject({
      url: '/v1/devices',
      remoteAddress: '10.0.0.1',
      headers: index % 2 === 0 ? { authorization: 'Bearer guess' } : {},
    }),
  );
  const [first] = await Promise.all(attempts);
  await worker.stop();
  const told = readChain(path).filter(({ event }) => event === 'AuthFailed');
  const guess = { token_fingerprint: sha256Hex('guess').slice(0, 16), remote_address: '10.0.0.1' };
  const none = { token_fingerprint: 'none', remote_address: '10.0.0.1' };
  t.match(told, [
    { severity: 'warning', actor: 'unauthenticated', request_id: first?.headers['x-request-id'], ...guess, count: 1 },
    { ...none, count: 1 },
    { ...guess, count: 99, request_id: null },
    { ...none, count: 99 },
  ]);
  t.equal(told.length, 4);
  t.notMatch(readFileSync(path, 'utf8'), 'guess');
});

/** Makes the log impossible to write: its path is a directory for a while. */
async function withoutLog(path: string, work: () => Promise<void>): Promise<void> {
  rmSync(path);
  mkdirSync(path);
  await work();
  rmdirSync(path);
}

/** What a mutation may change. */
async function stateOf(worker: TestWorker) {
  const shards = (await get(worker, '/v1/shards')).json();
  return { shards, available: await availableBytes(worker) };
}

t.test('without its log every mutation is refused and changes nothing', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  writeFileSync(join(directory, 'model'), bytes);
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path, WORKER_MODEL_DIR: directory } });
  await upload(worker, 'a', bytes);
  const plan = { model_ref: 'm', model_bytes: 5, shard_layout: 'single' };
  const reserved = await post(worker, '/v1/plan', { ...plan, reserve: true });
  const { reservation_id: id, expires_at } = reserved.json().reservation;
  const before = await stateOf(worker);
  const source = { type: 'file', path: 'model' };
  await withoutLog(path, async () => {
    const refused = [
      await upload(worker, 'b', bytes),
      await post(worker, '/v1/commit', { shard_id: 'b', model_ref: 'm', source }),
      await post(worker, '/v1/plan', { ...plan, reserve: true }),
      await post(worker, `/v1/reservations/${id}/renew`, { ttl_seconds: 3600 }),
      await remove(worker, `/v1/reservations/${id}`),
      await post(worker, '/v1/shards/a/verify'),
      await remove(worker, '/v1/shards/a'),
    ];
    for (const answer of refused) {
      t.match(answer.json(), { status: 503, code: 'AUDIT_UNAVAILABLE', retriable: true }, answer.raw.req.url ?? '');
      t.ok(answer.headers['retry-after']);
    }
    t.same(await stateOf(worker), before);
    t.match((await get(worker, '/v1/ready')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
    t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
    t.equal((await upload(worker, 'a', bytes)).statusCode, 200, 'a retry changes nothing');
    t.equal((await post(worker, '/v1/plan', plan)).statusCode, 200, 'nor does a question');
    t.equal((await post(worker, `/v1/reservations/none/renew`)).statusCode, 404, 'what is not there is not there');
  });
  t.equal((await post(worker, `/v1/reservations/${id}/renew`)).json().expires_at >= expires_at, true);
  t.equal((await get(worker, '/v1/ready')).statusCode, 200);
  t.equal((await remove(worker, `/v1/reservations/${id}`)).statusCode, 204);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
});

t.test('a commit whose seal can not be written down is undone, and that is told later', onSimulator, async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const before = await availableBytes(worker);
  simulator.latencyUs(100_000);
  const committing = upload(worker, 'a', bytes);
  while (!readFileSync(path, 'utf8').includes('VramAllocated')) await sleep(5);
  const kept = linesOf(path);
  await withoutLog(path, async () => {
    t.match((await committing).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
    t.same(await availableBytes(worker), before);
    t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  });
  writeFileSync(path, kept.map((line) => `${line}\n`).join(''));
  t.equal((await get(worker, '/readyz')).statusCode, 200);
  t.same(eventsOf(path), ['WorkerStarted', 'VramAllocated', 'AuditRecovered', 'VramDeallocated']);
  t.match(readChain(path).at(-1), { shard_id: 'a', reason: 'AUDIT_UNAVAILABLE', actor: operator });
});

t.test('ready says by itself, asked for nothing else, that the log is gone, and that it is back', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  await upload(worker, 'a', bytes);
  const poll = async (status: number) => {
    while ((await get(worker, '/v1/ready')).statusCode !== status) await sleep(20);
    t.pass(`ready says ${status}`);
  };
  await poll(200);
  const kept = readFileSync(path);
  await withoutLog(path, () => poll(503));
  writeFileSync(path, kept);
  await poll(200);
  t.same(eventsOf(path), ['WorkerStarted', 'VramAllocated', 'VramSealed', 'AuditRecovered']);
});

t.test('a worker starts without its log, says so, and recovers by itself', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  symlinkSync('/dev/full', path);
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const before = await availableBytes(worker);
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
  t.match((await upload(worker, 'a', bytes)).json(), { status: 503, code: 'AUDIT_UNAVAILABLE', retriable: true });
  t.same(await availableBytes(worker), before);
  rmSync(path);
  t.equal((await get(worker, '/readyz')).statusCode, 200);
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201);
  t.ok(existsSync(path));
  t.same(eventsOf(path), ['AuditRecovered', 'WorkerStarted', 'VramAllocated', 'VramSealed']);
});

t.test('the log goes on in files of the size that was set', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path, WORKER_AUDIT_MAX_BYTES: '4096' } });
  for (let round = 0; round < 6; round++) {
    await upload(worker, 'a', bytes);
    await remove(worker, '/v1/shards/a');
  }
  await worker.stop();
  t.ok(Buffer.byteLength(readFileSync(path)) <= 4096);
  t.equal(eventsOf(path).filter((event) => event === 'VramSealed').length, 6);
});
