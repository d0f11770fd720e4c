import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { damage, memoryContains } from '../../support/damage.js';
import { claimsOf } from '../../support/handles.js';
import { writeCache } from '../../support/hub/cache.js';
import { git, HubRepository, lfs, sha256 } from '../../support/hub/repository.js';
import { startHub } from '../../support/hub/server.js';
import { hubRegistry } from '../../support/hub/source.js';
import { get, post } from '../../support/requests.js';
import { simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

// Commits of files of a hub and of the cache, by a worker.

process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';
t.afterEach(() => simulator.reset());

const bytes = patternBytes(3_000_000);
const weights = lfs('sub/model.bin', bytes);
const source = { type: 'hf', repo: 'org/name', files: [weights.path] };

async function start(t: Test) {
  const hub = await startHub(t, { token: 'hf_secret' });
  const repository = new HubRepository('org/name');
  const { sha } = repository.commit([git('README.md', 'card'), weights]);
  hub.add(repository);
  const manifest = join(temporaryDirectory(t), 'manifest.json');
  const worker = () =>
    startWorker(t, {
      env: { WORKER_MANIFEST: manifest },
      residency: { registry: hubRegistry(hub, { token: 'hf_secret' }) },
    });
  return { hub, repository, sha, worker, reference: `hf://org/name@${sha}/${weights.path}` };
}

const commit = (worker: TestWorker, shardId: string, from: object, fields: object = {}) =>
  post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'm', source: from, ...fields });

t.test('a file of a hub is held to the digest of the list, through cuts and expired URLs', async (t) => {
  const { hub, worker, reference } = await start(t);
  const started = await worker();
  hub.faults.cutBytes = 700_000;
  hub.faults.expires = true;
  const created = await commit(started, 'a', source);
  t.equal(created.statusCode, 201, created.body);
  const digest = `sha256:${sha256(bytes)}`;
  t.match(created.json().shard, { digest, vram_bytes: bytes.length, source: reference, restorable: true });
  t.match(claimsOf(created.json().handle), { expected: 'sha256', expected_by: 'source', digest, source: reference });
  t.ok(memoryContains(0, bytes));
});

t.test('a plan names the commit and the digest, and reads headers alone', async (t) => {
  const { hub, worker, sha, reference } = await start(t);
  const started = await worker();
  const planned = (await post(started, '/v1/plan', { source: { type: 'hf', repo: 'org/name' } })).json();
  t.match(planned, { status: 404, code: 'SOURCE_NOT_FOUND' }, 'a file .bin must be named');
  const { feasible, resolved } = (await post(started, '/v1/plan', { source })).json();
  t.equal(feasible, true);
  t.match(resolved, {
    model_ref: `hf://org/name@${sha}`,
    immutable: true,
    files: [{ path: weights.path, bytes: bytes.length, digest: `sha256:${sha256(bytes)}`, digest_from: 'lfs' }],
    skipped: ['README.md'],
  });
  t.ok(reference.startsWith(resolved.model_ref));
  const read = hub.requests.filter(({ host }) => host === 'cdn').map(({ range }) => range);
  t.ok(
    read.every((range) => Number(range?.split('-')[1]) < 300_000),
    read.join(),
  );
});

t.test('other bytes than those of the list are fetched once more, and then refused', async (t) => {
  const { hub, worker } = await start(t);
  const started = await worker();
  hub.faults.content = (content) => Buffer.concat([content.subarray(0, -1), Buffer.from([1])]);
  const refused = (await commit(started, 'a', source)).json();
  t.match(refused, { status: 422, code: 'DIGEST_MISMATCH' });
  t.equal((await get(started, '/v1/shards/a')).statusCode, 404);
  const other = (await commit(started, 'a', source, { expected_digest: sha256('other') })).json();
  t.match(other, { status: 422, code: 'DIGEST_MISMATCH', detail: /The source states/ });
});

t.test('a shard is repaired and restored from its commit, although the branch has moved', async (t) => {
  const { hub, repository, worker, reference } = await start(t);
  const first = await worker();
  const created = await commit(first, 'a', source);
  t.equal(created.statusCode, 201, created.body);
  repository.commit([lfs(weights.path, 'another file')]);
  hub.requests.length = 0;
  damage(bytes, 0, 1_200_000);
  const report = (await post(first, '/v1/shards/a/verify', {})).json();
  t.match(report, { verified: false, corrupt_ranges: [{ offset: 1_048_576, length: 524_288 }] });
  await until(async () => (await get(first, '/v1/shards/a')).json().state === 'sealed', 'the shard is not repaired');
  const ranges = hub.requests.filter(({ host }) => host === 'cdn').map(({ range }) => range);
  t.strictSame(ranges, ['bytes=1048576-1572863']);
  await first.stop();

  const second = await worker();
  await until(async () => (await get(second, '/v1/ready')).statusCode === 200, 'the shard is not restored');
  t.match((await get(second, '/v1/shards/a')).json(), { source: reference, digest: `sha256:${sha256(bytes)}` });
  t.ok(memoryContains(0, bytes));
});

t.test('a file of the cache is held to the name of its blob', async (t) => {
  const cache = temporaryDirectory(t);
  const sha = writeCache(cache, 'org/name', [weights]);
  const worker = await startWorker(t, { env: { WORKER_HF_CACHE_DIR: cache } });
  const cached = { ...source, type: 'hf_cache' };
  const created = await commit(worker, 'a', cached);
  t.equal(created.statusCode, 201, created.body);
  const reference = `hf-cache://org/name@${sha}/${weights.path}`;
  t.match(claimsOf(created.json().handle), {
    expected_by: 'source',
    source: reference,
    digest: `sha256:${sha256(bytes)}`,
  });
  writeFileSync(join(cache, 'models--org--name/blobs', sha256(bytes)), Buffer.from(bytes).fill(1, 5, 6));
  t.match((await commit(worker, 'b', cached)).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  t.match((await commit(worker, 'b', { ...cached, repo: 'org/other' })).json(), {
    status: 404,
    code: 'SOURCE_NOT_FOUND',
  });
  const unset = await startWorker(t);
  t.match((await commit(unset, 'b', cached)).json(), { status: 400, detail: /WORKER_HF_CACHE_DIR/ });
});
