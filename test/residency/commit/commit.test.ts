import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, mebibyte, post, remove, sha256, upload } from '../../support/requests.js';
import { simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(1_300_000);
const other = patternBytes(1_300_000, 7);

t.test('a committed shard is sealed, with the digests of its bytes', async (t) => {
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
  const verdict = (await post(worker, '/v1/handles/verify', { handle })).json();
  t.match(verdict, { valid: true, reason: null, claims: { shard_id: 'a', digest: shard.digest, expected: 'none' } });
});

t.test('lengths around every boundary of blocks, groups and staging slots', async (t) => {
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

t.test('what the client expects is held against what came', async (t) => {
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
      t.equal((await get(worker, `/v1/shards/case-${index}`)).statusCode, 404, 'nothing is left of it');
      continue;
    }
    const { claims } = (await post(worker, '/v1/handles/verify', { handle: answer.json().handle })).json();
    t.equal(claims.expected, expected);
    t.equal(claims.digest, 'flat_digest' in query ? null : sha256(bytes));
    t.equal((await remove(worker, `/v1/shards/case-${index}`)).statusCode, 204);
  }
  t.same(await availableBytes(worker), before, 'all memory is back');
});

t.test('the same commit again is a safe retry; another one under its id is a conflict', async (t) => {
  const worker = await startWorker(t);
  const first = await upload(worker, 'a', bytes);
  const allocations = simulator.calls('cuMemCreate');
  for (const query of [{}, { expected_digest: sha256(bytes) }, { expected_tree_digest: referenceTreeDigest(bytes) }]) {
    const again = await upload(worker, 'a', bytes, query);
    t.equal(again.statusCode, 200, again.body);
    t.equal(again.json().handle, first.json().handle, 'the handle that stands');
  }
  t.equal(simulator.calls('cuMemCreate'), allocations, 'nothing was allocated');
  const conflicts = [
    upload(worker, 'a', other),
    upload(worker, 'a', bytes.subarray(1)),
    upload(worker, 'a', bytes, { model_ref: 'another' }),
    upload(worker, 'a', bytes, { total_shards: '2' }),
    upload(worker, 'a', bytes, { gpu_device: '1' }),
    upload(worker, 'a', bytes, { expected_digest: sha256(other) }),
  ];
  for (const conflict of conflicts) t.match((await conflict).json(), { status: 409, code: 'SHARD_CONFLICT' });
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'sealed', 'it stands');
});

t.test('no digest that was never computed is claimed, nor taken for the same', async (t) => {
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

t.test('a shard is committed from a file of the model directory, and from nowhere else', async (t) => {
  const outside = t.testdir({ secret: 'secret' });
  const directory = join(outside, 'models');
  mkdirSync(join(directory, 'sub'), { recursive: true });
  writeFileSync(join(directory, 'sub', 'model.gguf'), bytes);
  writeFileSync(join(directory, 'empty'), '');
  symlinkSync(join(outside, 'secret'), join(directory, 'link'));
  symlinkSync('model.gguf', join(directory, 'sub', 'alias'));
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  const commit = (shardId: string, path: string, fields: object = {}) =>
    post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'model', source: { type: 'file', path }, ...fields });

  const answer = await commit('a', 'sub/model.gguf', { expected_digest: sha256(bytes) });
  t.equal(answer.statusCode, 201, answer.body);
  t.equal(answer.json().shard.tree_digest, referenceTreeDigest(bytes));
  t.equal((await commit('a', 'sub/alias')).statusCode, 200, 'a link that stays inside; the same bytes');
  const refused = [
    ['sub/absent', 404, 'NOT_FOUND'],
    ['../secret', 400, 'INVALID_PARAMS'],
    ['/etc/passwd', 400, 'INVALID_PARAMS'],
    ['link', 400, 'INVALID_PARAMS'],
    ['sub', 400, 'INVALID_PARAMS'],
    ['empty', 400, 'INVALID_PARAMS'],
  ] as const;
  for (const [path, status, code] of refused) {
    const refusal = await commit('b', path);
    t.match(refusal.json(), { status, code }, path);
    t.notMatch(refusal.body, outside, 'no path of the host');
  }
});

t.test('without a model directory there is nothing to commit by reference', async (t) => {
  const worker = await startWorker(t);
  const source = { type: 'file', path: 'x' };
  const answer = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'model', source });
  t.match(answer.json(), { status: 400, code: 'INVALID_PARAMS' });
});
