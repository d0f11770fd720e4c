import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { availableBytes, get, post, remove, upload } from '../support/requests.js';
import { startWorker } from '../support/worker.js';

const bytes = patternBytes(5000);

interface Entry {
  readonly seq: number;
  readonly event: string;
  readonly previous: string;
}

/** The entries of a log, once each was found to follow the one before it. */
function readChain(path: string): Entry[] {
  let previous = '0'.repeat(64);
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line, index) => {
      const entry: Entry = JSON.parse(line);
      t.equal(entry.seq, index + 1, `entry ${index + 1} is numbered so`);
      t.equal(entry.previous, previous, `entry ${index + 1} follows the one before`);
      previous = createHash('sha256').update(line).digest('hex');
      return entry;
    });
}

t.test('what happens is on the log, chained, also over a restart', async (t) => {
  const path = join(t.testdir({}), 'audit.log');
  const env = { WORKER_AUDIT_LOG: path };
  const first = await startWorker(t, { env });
  await upload(first, 'a', bytes);
  await post(first, '/v1/shards/a/verify');
  await upload(first, 'b', bytes, { expected_digest: '0'.repeat(64) });
  await remove(first, '/v1/shards/a');
  await first.app.inject({ url: '/v1/devices', headers: { authorization: 'Bearer wrong' } });
  await first.stop();
  const second = await startWorker(t, { env });
  await second.stop();
  const events = readChain(path).map((entry) => entry.event);
  t.same(events, [
    'WorkerStarted',
    'VramAllocated',
    'VramSealed',
    'SealVerified',
    'VramAllocated',
    'VramDeallocated',
    'VramDeallocated',
    'AuthFailed',
    'WorkerStopped',
    'WorkerStarted',
    'WorkerStopped',
  ]);
  t.notMatch(readFileSync(path, 'utf8'), 'wrong', 'no token');
});

t.test('without its log the worker changes nothing, says so, and recovers by itself', async (t) => {
  const path = join(t.testdir({}), 'audit.log');
  symlinkSync('/dev/full', path);
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const before = await availableBytes(worker);
  const refused = await upload(worker, 'a', bytes);
  t.match(refused.json(), { status: 503, code: 'AUDIT_UNAVAILABLE', retriable: true });
  t.same(await availableBytes(worker), before);
  const reserve = { model_ref: 'm', model_bytes: 5, shard_layout: 'single', reserve: true };
  t.match((await post(worker, '/v1/plan', reserve)).json(), { status: 503, code: 'AUDIT_UNAVAILABLE' });
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });

  rmSync(path);
  t.equal((await get(worker, '/readyz')).statusCode, 200);
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201);
  t.ok(existsSync(path));
  t.same(
    readChain(path).map((entry) => entry.event),
    ['AuditRecovered', 'VramAllocated', 'VramSealed'],
  );
});
