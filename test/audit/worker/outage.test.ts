import { existsSync, linkSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventsOf, readChain, sha256 as sha256Hex } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker, token } from '../../support/worker.js';

const bytes = patternBytes(5000);
const operator = `operator:${sha256Hex(token).slice(0, 16)}`;

t.afterEach(() => simulator.reset());

/**
 * Makes the log unwritable during `work`: a device is at its path. A rename replaces a file at once. If the path were free for
 * a moment, the worker could create a file there.
 */
async function withoutLog(path: string, work: () => Promise<void>): Promise<void> {
  const [kept, device] = [`${path}.kept`, `${path}.device`];
  linkSync(path, kept);
  symlinkSync('/dev/full', device);
  renameSync(device, path);
  await work();
  renameSync(kept, path);
}

/** All state that a mutation can change. */
async function stateOf(worker: TestWorker) {
  const shards = (await get(worker, '/v1/shards')).json();
  return { shards, available: await availableBytes(worker) };
}

t.test('while the log is unwritable, every mutation is refused and changes nothing', async (t) => {
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
    const rejected = [
      await upload(worker, 'b', bytes),
      await post(worker, '/v1/commit', { shard_id: 'b', model_ref: 'm', source }),
      await post(worker, '/v1/plan', { ...plan, reserve: true }),
      await post(worker, `/v1/reservations/${id}/renew`, { ttl_seconds: 3600 }),
      await remove(worker, `/v1/reservations/${id}`),
      await post(worker, '/v1/shards/a/verify'),
      await remove(worker, '/v1/shards/a'),
    ];
    for (const answer of rejected) {
      t.match(answer.json(), { status: 503, code: 'AUDIT_UNAVAILABLE', retriable: true }, answer.raw.req.url ?? '');
      t.ok(answer.headers['retry-after']);
    }
    t.same(await stateOf(worker), before);
    t.match((await get(worker, '/v1/ready')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
    t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
    t.equal((await upload(worker, 'a', bytes)).statusCode, 200, 'a retry of a finished commit is allowed');
    t.equal((await post(worker, '/v1/plan', plan)).statusCode, 200, 'a plan without a reservation is allowed');
    t.equal(
      (await post(worker, `/v1/reservations/none/renew`)).statusCode,
      404,
      'an unknown reservation is still unknown',
    );
  });
  await until(async () => (await get(worker, '/v1/ready')).statusCode === 200);
  t.equal((await post(worker, `/v1/reservations/${id}/renew`)).json().expires_at >= expires_at, true);
  t.equal((await remove(worker, `/v1/reservations/${id}`)).statusCode, 204);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
});

t.test('a commit whose seal cannot be recorded is undone, which is recorded after recovery', onSimulator, async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const before = await availableBytes(worker);
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  const committing = upload(worker, 'a', bytes);
  await until(() => readFileSync(path, 'utf8').includes('VramAllocated'));
  await withoutLog(path, async () => {
    simulator.latencyUs(0);
    t.match((await committing).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
    t.same(await availableBytes(worker), before);
    t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  });
  await until(async () => (await get(worker, '/readyz')).statusCode === 200);
  t.same(eventsOf(path), ['WorkerStarted', 'VramAllocated', 'AuditRecovered', 'VramDeallocated']);
  t.match(readChain(path).at(-1), { shard_id: 'a', reason: 'AUDIT_UNAVAILABLE', actor: operator });
});

t.test('ready reports an outage and its end without any other request', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  await upload(worker, 'a', bytes);
  const poll = async (status: number) => {
    await until(async () => (await get(worker, '/v1/ready')).statusCode === status);
    t.pass(`ready says ${status}`);
  };
  await poll(200);
  await withoutLog(path, () => poll(503));
  await poll(200);
  t.same(eventsOf(path), ['WorkerStarted', 'VramAllocated', 'VramSealed', 'AuditRecovered']);
});

t.test('a pause of scrubbing takes effect during an outage, and is recorded after it', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  await withoutLog(path, async () => {
    worker.residency.pauseScrub(true);
    await until(async () => (await get(worker, '/readyz')).statusCode === 503);
    t.match((await get(worker, '/v1/ready')).json(), { scrub: { state: 'paused' } });
  });
  await until(async () => (await get(worker, '/readyz')).statusCode === 200);
  t.same(eventsOf(path), ['WorkerStarted', 'AuditRecovered', 'ScrubPaused']);
  const [, recovered, paused] = readChain(path);
  t.ok(String(paused?.time) < String(recovered?.time), 'an entry has the time of its event');
});

t.test('a worker starts with an unwritable log, reports it and recovers', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  symlinkSync('/dev/full', path);
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const before = await availableBytes(worker);
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
  t.match((await upload(worker, 'a', bytes)).json(), { status: 503, code: 'AUDIT_UNAVAILABLE', retriable: true });
  t.same(await availableBytes(worker), before);
  rmSync(path);
  await until(async () => (await get(worker, '/readyz')).statusCode === 200);
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201);
  t.ok(existsSync(path));
  t.same(eventsOf(path), ['AuditRecovered', 'WorkerStarted', 'VramAllocated', 'VramSealed']);
});
