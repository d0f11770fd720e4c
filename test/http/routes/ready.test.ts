import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { get, post, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const seal = { model_ref: 'm' };

t.test('ready has the same fields with 200 and 503', async (t) => {
  const worker = await startWorker(t);
  const before = await get(worker, '/v1/ready');
  t.equal(before.statusCode, 503);
  await upload(worker, 'a', patternBytes(10), seal);
  const after = await get(worker, '/v1/ready');
  t.equal(after.statusCode, 200);
  t.same(Object.keys(after.json()), Object.keys(before.json()));
  t.match(after.json(), {
    ready: true,
    state: 'ready',
    worker_id: 'worker-1',
    nccl_group_id: null,
    models: [{ model_ref: 'm', ready: true, total_shards: 1, resident_shards: 1 }],
    handles: [{ handle: String, shard: { shard_id: 'a' } }],
    attestation: null,
  });
});

t.test('the query filters ready', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10), seal);
  t.same((await get(worker, '/v1/ready?handles=false')).json().handles, []);
  t.equal((await get(worker, '/v1/ready?handles=true')).json().handles.length, 1);
  t.equal((await get(worker, '/v1/ready?model_ref=other')).statusCode, 503);
  t.equal((await get(worker, '/v1/ready?model_ref=m')).statusCode, 200);
  t.match((await get(worker, '/v1/ready?nonce=fresh')).json().attestation, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1')).statusCode, 200);
  for (const wrong of [
    'handles=no',
    'max_age_seconds=0',
    'max_age_seconds=1.5',
    `nonce=${'x'.repeat(129)}`,
    'nonce=',
    'typo=1',
  ]) {
    t.equal((await get(worker, `/v1/ready?${wrong}`)).json().code, 'INVALID_PARAMS', wrong);
  }
});

t.test('an unchanged response is a 304', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10), seal);
  const { headers } = await get(worker, '/v1/ready');
  const etag = String(headers.etag);
  t.equal(headers['cache-control'], 'no-cache');
  const ask = (ifNoneMatch: string, url = '/v1/ready') =>
    worker.inject({ url, headers: { 'if-none-match': ifNoneMatch } });
  for (const header of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
    const answer = await ask(header);
    t.equal(answer.statusCode, 304, header);
    t.equal(answer.body, '');
    t.equal(answer.headers.etag, etag);
  }
  t.equal((await ask('"x"')).statusCode, 200);
  t.equal((await ask(etag, '/v1/ready?handles=false')).statusCode, 200, 'each query has its own tag');
  await upload(worker, 'b', patternBytes(11), seal);
  const changed = await ask(etag);
  t.equal(changed.statusCode, 200);
  t.not(changed.headers.etag, etag);
});

t.test('a 503 and an attestation have no tag', async (t) => {
  const worker = await startWorker(t);
  t.equal((await get(worker, '/v1/ready')).headers.etag, undefined);
  await upload(worker, 'a', patternBytes(10), seal);
  const attested = await get(worker, '/v1/ready?nonce=fresh');
  t.equal(attested.headers.etag, undefined);
  t.equal(attested.headers['cache-control'], 'no-store');
  const starred = await worker.inject({ url: '/v1/ready?nonce=fresh', headers: { 'if-none-match': '*' } });
  t.equal(starred.statusCode, 200);
});

t.test('ready shows a new verification at once', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10), seal);
  const seen = async () => (await get(worker, '/v1/ready')).json().handles[0].shard.last_verified_at;
  const before = await seen();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await post(worker, '/v1/shards/a/verify');
  t.ok((await seen()) > before);
});

t.test('last_verified_at is the time before the first byte of the verification was read', onSimulator, async (t) => {
  const worker = await startWorker(t);
  t.teardown(() => simulator.reset());
  await upload(worker, 'a', patternBytes(10), seal);
  simulator.reset();
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  const beforeMs = Date.now();
  const verified = post(worker, '/v1/shards/a/verify');
  await until(() => simulator.calls('cuLaunchKernel') > 0);
  const duringMs = Date.now();
  simulator.latencyUs(0);
  await verified;
  const verifiedAtMs = Date.parse((await get(worker, '/v1/shards/a')).json().last_verified_at);
  t.ok(beforeMs <= verifiedAtMs && verifiedAtMs <= duringMs);
});
