import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { verifyHandle } from '../../support/handles.js';
import { availableBytes, get, mebibyte, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(1_300_000);
const other = patternBytes(1_300_000, 7);
const unknown = 999;

t.afterEach(() => simulator.reset());

t.test('a committed shard is sealed with the digests of its bytes', async (t) => {
  const worker = await startWorker(t);
  const answer = await upload(worker, 'a', bytes, { shard_index: '1', total_shards: '2' });
  t.equal(answer.statusCode, 201, answer.body);
  t.equal(answer.headers.location, '/v1/shards/a');
  const { handle, shard } = answer.json();
  t.match(shard, {
    shard_id: 'a',
    model_ref: 'model',
    shard_index: 1,
    total_shards: 2,
    gpu_device: 0,
    vram_bytes: bytes.length,
    received_bytes: bytes.length,
    digest: sha256(bytes),
    tree_digest: referenceTreeDigest(bytes),
    state: 'sealed',
    sealed: true,
    driver: 'simulated',
    simulated: true,
  });
  const verdict = await verifyHandle(worker, handle);
  t.match(verdict, { valid: true, reason: null, claims: { shard_id: 'a', digest: shard.digest, expected: 'none' } });
});

t.test('the digests are right for lengths around blocks, groups and staging slots', async (t) => {
  const worker = await startWorker(t);
  for (const edge of [4096, 8192, 512 * 1024, mebibyte, 2 * mebibyte]) {
    for (const length of [edge - 1, edge, edge + 1]) {
      const part = patternBytes(length);
      const answer = await upload(worker, `edge-${length}`, part);
      t.equal(answer.statusCode, 201, answer.body);
      t.equal(answer.json().shard.digest, sha256(part), `digest of ${length} bytes`);
      t.equal(answer.json().shard.tree_digest, referenceTreeDigest(part), `tree digest of ${length} bytes`);
    }
  }
});

t.test('a commit is refused if a digest of its bytes is not the expected one', async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const right = { expected_digest: sha256(bytes), expected_tree_digest: referenceTreeDigest(bytes) };
  const wrong = { expected_digest: sha256(other), expected_tree_digest: referenceTreeDigest(other) };
  const cases = [
    [{ expected_digest: right.expected_digest }, 201, 'sha256'],
    [{ expected_digest: right.expected_digest.slice('sha256:'.length) }, 201, 'sha256'],
    [{ expected_tree_digest: right.expected_tree_digest }, 201, 'tree'],
    [right, 201, 'both'],
    [{ expected_tree_digest: right.expected_tree_digest, flat_digest: 'false' }, 201, 'tree'],
    [{ expected_digest: wrong.expected_digest }, 422, null],
    [{ expected_tree_digest: wrong.expected_tree_digest }, 422, null],
    [{ ...right, expected_tree_digest: wrong.expected_tree_digest }, 422, null],
    [{ expected_tree_digest: wrong.expected_tree_digest, flat_digest: 'false' }, 422, null],
  ] as const;
  for (const [index, [query, status, expected]] of cases.entries()) {
    const answer = await upload(worker, `case-${index}`, bytes, query);
    t.equal(answer.statusCode, status, answer.body);
    if (expected === null) {
      t.equal(answer.json().code, 'DIGEST_MISMATCH');
      t.equal((await get(worker, `/v1/shards/case-${index}`)).statusCode, 404, 'the shard does not exist');
      continue;
    }
    const { claims } = await verifyHandle(worker, answer.json().handle);
    t.equal(claims.expected, expected);
    t.equal(claims.digest, 'flat_digest' in query ? null : sha256(bytes));
    t.equal((await remove(worker, `/v1/shards/case-${index}`)).statusCode, 204);
  }
  // A self-test after a wrong digest takes memory that the device may still report as used.
  await until(async () => String(await availableBytes(worker)) === String(before), 'memory is not available again');
});

t.test('a commit leaves no shard and no memory if any one driver call fails', onSimulator, async (t) => {
  const shard = bytes.subarray(0, 600_000);
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  simulator.reset();
  t.equal((await upload(worker, 'probe', shard)).statusCode, 201);
  const count = simulator.calls('*');
  await remove(worker, '/v1/shards/probe');
  t.ok(count > 20, `${count} driver calls can fail`);
  for (let nth = 1; nth <= count; nth++) {
    simulator.faults(`*:${nth}=${unknown}`);
    const answer = await upload(worker, 'a', shard);
    simulator.faults('');
    if (answer.statusCode === 201) {
      t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204, `call ${nth}: the commit does not depend on it`);
    } else {
      t.match(answer.json(), { status: 500, code: 'CUDA_ERROR' }, `call ${nth}`);
    }
    t.equal((await get(worker, '/v1/shards/a')).statusCode, 404, `call ${nth}: the shard does not exist`);
    t.same(await availableBytes(worker), before, `call ${nth}: all memory is available`);
    t.equal(simulator.live('*'), live, `call ${nth}: no driver object is left`);
  }
});

t.test('a commit fails with VRAM_OOM if the driver is out of memory', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const [available] = await availableBytes(worker);
  simulator.faults('cuMemCreate:1=2');
  const problem = (await upload(worker, 'a', bytes)).json();
  t.match(problem, { status: 507, code: 'VRAM_OOM', retriable: true, detail: /^GPU device 0 does not have enough/ });
  t.equal(problem.needed_bytes, 2 * mebibyte, 'the allocation is rounded up to the granularity');
  t.equal(problem.available_bytes, available);
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201);
});
