import { PassThrough } from 'node:stream';
import t from 'tap';
import { RetryComparison } from '../../../src/residency/commit/retry_comparison.js';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { damage } from '../../support/damage.js';
import { get, post, sha256, upload } from '../../support/requests.js';
import { lastDevice, onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

// The simulator reads it when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});

const bytes = patternBytes(1_300_000);
const other = patternBytes(1_300_000, 7);

t.test('a repeated commit gets the current handle, and a different one with the same id a conflict', async (t) => {
  const worker = await startWorker(t);
  const first = await upload(worker, 'a', bytes);
  const allocations = simulator.calls('cuMemCreate');
  for (const query of [{}, { expected_digest: sha256(bytes) }, { expected_tree_digest: referenceTreeDigest(bytes) }]) {
    const again = await upload(worker, 'a', bytes, query);
    t.equal(again.statusCode, 200, again.body);
    t.equal(again.json().handle, first.json().handle, 'the current handle');
  }
  t.equal(simulator.calls('cuMemCreate'), allocations, 'a retry allocates nothing');
  const conflicts = [
    upload(worker, 'a', other),
    upload(worker, 'a', bytes.subarray(1)),
    upload(worker, 'a', bytes, { model_ref: 'another' }),
    upload(worker, 'a', bytes, { total_shards: '2' }),
    ...(lastDevice > 0 ? [upload(worker, 'a', bytes, { gpu_device: '1' })] : []),
    upload(worker, 'a', bytes, { expected_digest: sha256(other) }),
  ];
  for (const conflict of conflicts) t.match((await conflict).json(), { status: 409, code: 'SHARD_CONFLICT' });
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'sealed', 'the existing shard is unchanged');
});

t.test('a digest that the seal does not have is compared with the bytes of the retry', async (t) => {
  const worker = await startWorker(t);
  const expected_tree_digest = referenceTreeDigest(bytes);
  const treeOnly = { expected_tree_digest, flat_digest: 'false' };
  const both = await upload(worker, 'a', bytes, { ...treeOnly, expected_digest: sha256(other) });
  t.match(both.json(), { status: 400, code: 'INVALID_PARAMS' });
  t.equal((await upload(worker, 'a', bytes, treeOnly)).json().shard.digest, null);
  for (const query of [{ expected_digest: sha256(other) }, { expected_digest: sha256(other), expected_tree_digest }]) {
    t.match((await upload(worker, 'a', bytes, query)).json(), { status: 409, code: 'SHARD_CONFLICT' });
  }
  t.equal((await upload(worker, 'a', bytes, { expected_digest: sha256(bytes) })).statusCode, 200);
});

t.test('a shard that becomes corrupt during the comparison is a conflict', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  const opened = t.capture(RetryComparison.prototype, 'open', RetryComparison.prototype.open);
  const payload = new PassThrough();
  const again = worker.inject({
    method: 'PUT',
    url: '/v1/commit',
    query: { shard_id: 'a', model_ref: 'model' },
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(bytes.length) },
    payload,
  });
  payload.write(bytes.subarray(0, 1000));
  await until(() => opened().length > 0);
  damage(bytes, 0, 5000);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: false });
  payload.end(bytes.subarray(1000));
  t.match((await again).json(), { status: 409, code: 'SHARD_CONFLICT', detail: /^The shard is corrupt/ });
});
