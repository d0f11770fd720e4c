import { once } from 'node:events';
import { request } from 'node:http';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { damage, lies } from '../../support/damage.js';
import { get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});

const groupBytes = 512 * 1024;
const bytes = patternBytes(3 * mebibyte + 5);

t.test('a flipped bit is found, and where: from the first byte to the last', onSimulator, async (t) => {
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

t.test('a shard that was found damaged stays corrupt, however well it reads later', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  damage(bytes, 0, 4096);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: false, reason: 'damaged' });
  damage(bytes, 0, 4096);
  const healed = (await post(worker, '/v1/shards/a/verify')).json();
  t.match(healed, {
    verified: false,
    reason: 'corrupt',
    checks: { signature: true, residency: true, tree_digest: true },
  });
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'corrupt', corrupt_ranges: [{ offset: 0 }] });
  const { reasons } = (await get(worker, '/v1/ready')).json();
  t.match(
    reasons,
    [{ code: 'SHARD_CORRUPT', detail: /it was uploaded: release it/ }, {}],
    'and ready says that nobody repairs it',
  );
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  await upload(worker, 'a', bytes);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true, reason: null });
});

t.test('ready verifies first what is older than it is asked to trust', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'old', bytes);
  t.equal((await get(worker, '/v1/ready?max_age_seconds=3600')).statusCode, 200);
  damage(bytes, 0, 77);
  t.equal((await get(worker, '/v1/ready?max_age_seconds=3600')).statusCode, 200, 'young enough: not looked at');
  await new Promise((resolve) => setTimeout(resolve, 1100));
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1')).statusCode, 503, 'too old: looked at, and found');
});

t.test('verifications of one shard at one time share one run', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  simulator.reset();
  const reports = await Promise.all(Array.from({ length: 8 }, () => post(worker, '/v1/shards/a/verify')));
  t.ok(reports.every((report) => report.json().verified === true));
  t.equal(simulator.calls('cuLaunchKernel'), 2, 'one run: the leaves and the level above');
});

t.test('bytes that change between arrival and seal are never sealed', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const answers = ['', `&expected_tree_digest=${referenceTreeDigest(bytes)}`].map(async (expected, index) => {
    const target = `${worker.url}/v1/commit?shard_id=s-${index}&model_ref=m&gpu_device=${index}${expected}`;
    const headers = { authorization: `Bearer ${worker.token}`, 'content-length': bytes.length };
    const sending = request(target, { method: 'PUT', headers });
    const answered = once(sending, 'response');
    sending.write(bytes.subarray(0, 2 * mebibyte));
    await until(() => lies(index, bytes.subarray(0, mebibyte)));
    damage(bytes.subarray(0, mebibyte), index, 1000);
    sending.end(bytes.subarray(2 * mebibyte));
    const [response] = await answered;
    return JSON.parse(Buffer.concat(await response.toArray()).toString());
  });
  t.match(await answers[0], { status: 422, code: 'SEAL_VERIFICATION_FAILED', retriable: false });
  t.match(await answers[1], { status: 422, code: 'DIGEST_MISMATCH' });
  t.same((await get(worker, '/v1/shards')).json().shards, []);
});

t.test('a released shard leaves no byte behind', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  await remove(worker, '/v1/shards/a');
  t.notOk(lies(0, bytes.subarray(4096, 8192)));
});
