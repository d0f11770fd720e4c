import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { damage, memoryContains } from '../../support/damage.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});

const groupBytes = 512 * 1024;
const bytes = patternBytes(3 * mebibyte + 5);

t.afterEach(() => simulator.reset());

t.test('a verification finds flipped bits and reports the damaged ranges', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const cases = [
    [[0], [{ offset: 0, length: groupBytes }]],
    [[groupBytes - 1, groupBytes], [{ offset: 0, length: 2 * groupBytes }]],
    [
      [groupBytes, 3 * groupBytes],
      [
        { offset: groupBytes, length: groupBytes },
        { offset: 3 * groupBytes, length: groupBytes },
      ],
    ],
    [[bytes.length - 1], [{ offset: 6 * groupBytes, length: 5 }]],
  ] as const;
  for (const [index, [offsets, ranges]] of cases.entries()) {
    const id = `shard-${index}`;
    const { handle } = (await upload(worker, id, bytes)).json();
    const clean = (await post(worker, `/v1/shards/${id}/verify`)).json();
    t.match(clean, { verified: true, bytes: bytes.length, corrupt_ranges: [] });
    t.equal((await get(worker, '/v1/ready')).statusCode, 200);

    damage(bytes, 0, ...offsets);
    const damaged = await post(worker, `/v1/shards/${id}/verify`);
    t.match(damaged.json(), { verified: false, checks: { signature: true, residency: true, tree_digest: false } });
    t.same(damaged.json().corrupt_ranges, ranges);
    const ready = await get(worker, '/v1/ready');
    t.equal(ready.statusCode, 503);
    t.match(ready.json(), { ready: false, reasons: [{ code: 'SHARD_CORRUPT' }], handles: [] });
    t.match((await post(worker, '/v1/handles/verify', { handle })).json(), { valid: false, reason: 'not_sealed' });
    t.match((await upload(worker, id, bytes)).json(), { status: 409, code: 'SHARD_CONFLICT' });
    t.equal((await remove(worker, `/v1/shards/${id}`)).statusCode, 204);
  }
});

t.test('a damaged shard stays corrupt even if its bytes are correct again', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  damage(bytes, 0, 4096);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: false, reason: 'damaged' });
  damage(bytes, 0, 4096);
  const repeated = (await post(worker, '/v1/shards/a/verify')).json();
  t.match(repeated, {
    verified: false,
    reason: 'corrupt',
    checks: { signature: true, residency: true, tree_digest: true },
  });
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'corrupt', corrupt_ranges: [{ offset: 0 }] });
  const { reasons } = (await get(worker, '/v1/ready')).json();
  t.match(
    reasons,
    [{ code: 'SHARD_CORRUPT', detail: /the worker has no source to repair it from; release it/ }, {}],
    'ready says that an upload must be released',
  );
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  await upload(worker, 'a', bytes);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true, reason: null });
});

t.test('ready first verifies the shards that are older than max_age_seconds', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'old', bytes);
  t.equal((await get(worker, '/v1/ready?max_age_seconds=3600')).statusCode, 200);
  damage(bytes, 0, 77);
  t.equal(
    (await get(worker, '/v1/ready?max_age_seconds=3600')).statusCode,
    200,
    'verified recently enough: not verified again',
  );
  await sleep(1100);
  t.equal(
    (await get(worker, '/v1/ready?max_age_seconds=1')).statusCode,
    503,
    'too old: verified again, and the damage is found',
  );
});

t.test('bytes that change in device memory before the seal are not sealed', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const answers = ['', `&expected_tree_digest=${referenceTreeDigest(bytes)}`].map(async (expected, index) => {
    const target = `${worker.url}/v1/commit?shard_id=s-${index}&model_ref=m&gpu_device=${index}${expected}`;
    const headers = { authorization: `Bearer ${worker.token}`, 'content-length': bytes.length };
    const sending = request(target, { method: 'PUT', headers });
    const answered = once(sending, 'response');
    sending.write(bytes.subarray(0, 2 * mebibyte));
    await until(() => memoryContains(index, bytes.subarray(0, mebibyte)));
    damage(bytes.subarray(0, mebibyte), index, 1000);
    sending.end(bytes.subarray(2 * mebibyte));
    const [response] = await answered;
    return JSON.parse(Buffer.concat(await response.toArray()).toString());
  });
  t.match(await answers[0], { status: 422, code: 'SEAL_VERIFICATION_FAILED', retriable: false });
  t.match(await answers[1], { status: 422, code: 'DIGEST_MISMATCH' });
  t.same((await get(worker, '/v1/shards')).json().shards, []);
});

t.test('a commit is refused, and a verification fails, if the driver spoofs an attribute', onSimulator, async (t) => {
  const shard = bytes.subarray(0, 600_000);
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const spoofs = [
    'memory_type=1',
    'is_managed=1',
    'ordinal=1',
    'host_pointer=1',
    'location_type=0',
    'location_id=1',
    'access=3',
    'foreign_access=1',
  ];
  for (const spoof of spoofs) {
    simulator.spoofs(spoof);
    const refused = await upload(worker, 'a', shard);
    t.match(refused.json(), { status: 422, code: 'POLICY_VIOLATION', retriable: false }, spoof);
    simulator.spoofs('');
    t.same(await availableBytes(worker), before, `${spoof}: the memory is free again`);

    t.equal((await upload(worker, 'b', shard)).statusCode, 201);
    simulator.spoofs(spoof);
    const report = (await post(worker, '/v1/shards/b/verify')).json();
    t.match(report, { verified: false, checks: { signature: true, residency: false, tree_digest: true } }, spoof);
    simulator.spoofs('');
    t.equal((await get(worker, '/v1/shards/b')).json().state, 'corrupt');
    await remove(worker, '/v1/shards/b');
  }
});
