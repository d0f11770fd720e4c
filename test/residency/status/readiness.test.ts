import { request } from 'node:http';
import { compactVerify } from 'jose';
import t from 'tap';
import { deriveSealKey } from '../../../src/seal/key.js';
import { patternBytes } from '../../support/bytes.js';
import { claimsOf } from '../../support/handles.js';
import { get, remove, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, token } from '../../support/worker.js';

const bytes = patternBytes(5000);
const key = deriveSealKey(Buffer.from(token), 'worker-1');

t.test('an empty worker is healthy but not ready', async (t) => {
  const worker = await startWorker(t);
  const ready = await get(worker, '/v1/ready');
  t.equal(ready.statusCode, 503);
  t.match(ready.json(), {
    ready: false,
    state: 'ready',
    worker_id: 'worker-1',
    driver: 'simulated',
    nccl_group_id: null,
    reasons: [{ code: 'NO_MODEL_READY' }],
    models: [],
    handles: [],
    attestation: null,
  });
  t.equal((await get(worker, '/readyz')).statusCode, 200);
  t.equal((await get(worker, '/livez')).statusCode, 200);
});

t.test('a model is ready when all its shards are sealed, even if other models are not', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a0', bytes, { model_ref: 'A', shard_index: '0', total_shards: '2' });
  t.match((await get(worker, '/v1/ready')).json(), {
    ready: false,
    models: [{ model_ref: 'A', ready: false, total_shards: 2, resident_shards: 1 }],
  });
  await upload(worker, 'a0-replica', bytes, { model_ref: 'A', shard_index: '0', total_shards: '2' });
  t.equal(
    (await get(worker, '/v1/ready')).json().models[0].resident_shards,
    1,
    'a replica does not count as another shard',
  );
  await upload(worker, 'b', bytes, { model_ref: 'B' });
  const ready = await get(worker, '/v1/ready');
  t.equal(ready.statusCode, 200, 'the incomplete model A does not block B');
  t.equal(ready.json().handles.length, 3);
  t.equal((await get(worker, '/v1/ready?model_ref=A')).statusCode, 503);
  t.equal((await get(worker, '/v1/ready?model_ref=B')).json().handles.length, 1);
  t.match((await get(worker, '/v1/ready?model_ref=C')).json(), { reasons: [{ code: 'MODEL_NOT_RESIDENT' }] });
  t.same((await get(worker, '/v1/ready?handles=false')).json().handles, []);
  await upload(worker, 'a1', bytes, { model_ref: 'A', shard_index: '1', total_shards: '2' });
  t.equal((await get(worker, '/v1/ready?model_ref=A')).statusCode, 200);
  await remove(worker, '/v1/shards/a1');
  t.equal((await get(worker, '/v1/ready?model_ref=A')).statusCode, 503);
});

t.test('a ready model stays ready while another of its shards arrives', async (t) => {
  const worker = await startWorker(t, { listen: true });
  await upload(worker, 'a', bytes);
  const url = `${worker.url}/v1/commit?shard_id=b&model_ref=model&total_shards=1024`;
  const headers = { authorization: `Bearer ${worker.token}`, 'content-length': 1000 };
  const arriving = request(url, { method: 'PUT', headers });
  arriving.on('error', () => undefined);
  arriving.flushHeaders();
  await until(async () => (await get(worker, '/v1/shards/b')).statusCode === 200);
  const ready = await get(worker, '/v1/ready?model_ref=model');
  t.equal(ready.statusCode, 200);
  t.match(ready.json().models, [{ ready: true, total_shards: 1, resident_shards: 1 }]);
  arriving.destroy();
});

t.test('an answer to a request with a nonce has a signed attestation', async (t) => {
  const worker = await startWorker(t);
  const { handle } = (await upload(worker, 'a', bytes)).json();
  const { jti } = claimsOf(handle);
  const { attestation, boot_id } = (await get(worker, '/v1/ready?nonce=n-1')).json();
  const { payload, protectedHeader } = await compactVerify(attestation, key.secret);
  t.match(protectedHeader, { alg: 'HS256', typ: 'vram-attestation+jws', kid: key.kid });
  t.match(JSON.parse(Buffer.from(payload).toString()), {
    iss: 'worker-1',
    boot_id,
    nonce: 'n-1',
    ready: true,
    iat: Number,
    shards: [{ shard_id: 'a', jti, last_verified_at: /^\d{4}-.*Z$/ }],
  });
  t.not((await get(worker, '/v1/ready?nonce=n-2')).json().attestation, attestation);
});

t.test('a draining worker is not ready and refuses commits', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  worker.residency.drain();
  const ready = await get(worker, '/v1/ready');
  t.equal(ready.statusCode, 503);
  t.match(ready.json(), { state: 'draining', reasons: [{ code: 'DRAINING' }] });
  t.equal((await get(worker, '/readyz')).statusCode, 503);
  const refused = await upload(worker, 'b', bytes);
  t.match(refused.json(), { status: 503, code: 'DRAINING', retriable: true });
  t.ok(refused.headers['retry-after']);
});

t.test('until the devices are up, every endpoint except livez reports that the worker is starting', async (t) => {
  const worker = await startWorker(t, { start: false });
  t.equal((await get(worker, '/livez')).statusCode, 200);
  t.equal((await get(worker, '/readyz')).statusCode, 503);
  t.match((await get(worker, '/v1/devices')).json(), { status: 503, code: 'STARTING', retriable: true });
  t.match((await upload(worker, 'a', bytes)).json(), { status: 503, code: 'STARTING' });
  t.match((await get(worker, '/v1/ready')).json(), {
    ready: false,
    state: 'starting',
    reasons: [{ code: 'STARTING' }],
  });
});
