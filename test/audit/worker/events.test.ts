import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type AuditLine, eventsOf, readChain, sha256 as sha256Hex } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { post, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { startWorker, token } from '../../support/worker.js';

const bytes = patternBytes(5000);
const operator = `operator:${sha256Hex(token).slice(0, 16)}`;

t.afterEach(() => simulator.reset());

t.test('each action appends its events in order, also across a restart', async (t) => {
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
  t.notMatch(readFileSync(path, 'utf8'), 'wrong', 'the log has no token');
});

t.test('each entry has its time, actor, request, shard and digests', async (t) => {
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

t.test('policy violations and failed verifications are critical', onSimulator, async (t) => {
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

t.test('failed authentications are recorded once, and then counted', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  // More than ten a second are refused without an entry.
  const attempts = Array.from({ length: 10 }, (_, index) =>
    worker.app.inject({
      url: '/v1/devices',
      remoteAddress: '10.0.0.1',
      headers: index % 2 === 0 ? { authorization: 'Bearer guess' } : {},
    }),
  );
  const [first] = await Promise.all(attempts);
  await worker.stop();
  const failures = readChain(path).filter(({ event }) => event === 'AuthFailed');
  const guess = { token_fingerprint: sha256Hex('guess').slice(0, 16), remote_address: '10.0.0.1' };
  const none = { token_fingerprint: 'none', remote_address: '10.0.0.1' };
  t.match(failures, [
    { severity: 'warning', actor: 'unauthenticated', request_id: first?.headers['x-request-id'], ...guess, count: 1 },
    { ...none, count: 1 },
    { ...guess, count: 4, request_id: null },
    { ...none, count: 4 },
  ]);
  t.equal(failures.length, 4);
  t.notMatch(readFileSync(path, 'utf8'), 'guess');
});

t.test('files are rotated at the configured size', async (t) => {
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
