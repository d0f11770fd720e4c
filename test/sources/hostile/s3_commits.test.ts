import { createHash } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { damage, memoryContains } from '../../support/damage.js';
import { claimsOf } from '../../support/handles.js';
import { endedPull, modelOfSizes, tensorFile } from '../../support/pull_source.js';
import { get, post, sha256 } from '../../support/requests.js';
import { credentials, S3Server } from '../../support/s3_server.js';
import { s3Registry } from '../../support/s3_sources.js';
import { simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

// Commits of S3 objects by a worker.

process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';
t.afterEach(() => simulator.reset());

const bytes = patternBytes(3_000_000);
const hex = createHash('sha256').update(bytes).digest('hex');
const digest = `sha256:${hex}`;
const source = { type: 's3', bucket: 'models', key: 'llm/a b+ü.bin' };
const claimed = { headers: { 'x-amz-meta-sha256': hex } };

async function start(t: Test) {
  const server = await S3Server.start(t);
  const manifest = join(temporaryDirectory(t), 'manifest.json');
  const worker = () =>
    startWorker(t, {
      env: { WORKER_MANIFEST: manifest },
      residency: { registry: s3Registry({ settings: server.settings, credentials }) },
    });
  return { server, worker };
}

const commit = (worker: TestWorker, shardId: string, fields: object = {}) =>
  post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'm', source, ...fields });

/** Cuts every response after 700,000 bytes. */
function cut(server: S3Server): void {
  server.intercept = ({ method, key, headers }, response) => {
    const [, first = '0', last = '0'] = /^bytes=([0-9]+)-([0-9]+)$/.exec(headers.get('range') ?? '') ?? [];
    const part = bytes.subarray(Number(first), Number(last) + 1);
    if (method !== 'GET' || part.length < 700_000) return false;
    response.writeHead(206, {
      ...{ ETag: server.objects.get(key)?.etag, 'Content-Length': part.length },
      ...{ 'Content-Range': `bytes ${first}-${last}/${bytes.length}` },
      ...(server.objects.get(key)?.version && { 'x-amz-version-id': server.objects.get(key)?.version }),
    });
    response.write(part.subarray(0, 700_000), () => response.destroy());
    return true;
  };
}

t.test('an object is held to the digest of its metadata, through cuts', async (t) => {
  const { server, worker } = await start(t);
  server.put(source.key, bytes, claimed);
  cut(server);
  const created = await commit(await worker(), 'a');
  t.equal(created.statusCode, 201, created.body);
  const reference = `s3://models/${source.key}`;
  t.match(created.json().shard, { digest, vram_bytes: bytes.length, source: reference, restorable: true });
  t.match(claimsOf(created.json().handle), { expected: 'sha256', expected_by: 'source', digest, source: reference });
  t.ok(memoryContains(0, bytes));
});

t.test('an object with other bytes, or without any digest, is not sealed', async (t) => {
  const { server, worker } = await start(t);
  const started = await worker();
  server.put(source.key, Buffer.from(bytes).fill(1, 5, 6), claimed);
  t.match((await commit(started, 'a')).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  server.put(source.key, bytes, claimed);
  const other = { expected_digest: createHash('sha256').update('other').digest('hex') };
  t.match((await commit(started, 'a', other)).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  server.put(source.key, bytes);
  const requests = server.requests.length;
  t.match((await commit(started, 'a')).json(), { status: /^4/ });
  t.equal(server.requests.length, requests + 1, 'nothing but the head is read');
  t.equal((await commit(started, 'a', { expected_digest: hex })).statusCode, 201);
});

t.test('errors of S3 reach the client with their own words', async (t) => {
  const { server, worker } = await start(t);
  const started = await worker();
  t.match((await commit(started, 'a')).json(), { status: 404, code: 'SOURCE_NOT_FOUND', detail: /object/ });
  server.put(source.key, bytes);
  server.put('llm/b.gguf', bytes);
  server.put('llm/c.gguf', bytes);
  const prefix = { source: { ...source, key: 'llm/' } };
  t.match((await commit(started, 'a', prefix)).json(), { status: /^4/ }, 'a commit is of one file');
});

t.test('a shard is repaired and restored from its version, although a later one exists', async (t) => {
  const { server, worker } = await start(t);
  server.put(source.key, bytes, { ...claimed, version: 'v1' });
  const first = await worker();
  const created = await commit(first, 'a');
  t.equal(created.statusCode, 201, created.body);
  server.requests.length = 0;
  damage(bytes, 0, 1_200_000);
  t.match((await post(first, '/v1/shards/a/verify', {})).json(), { verified: false });
  await until(async () => (await get(first, '/v1/shards/a')).json().state === 'sealed', 'the shard is not repaired');
  const ranges = server.requests.map(({ headers, query }) => [headers.get('range'), query.get('versionId')]);
  t.strictSame(ranges.at(-1), ['bytes=1048576-1572863', 'v1']);
  await first.stop();

  const second = await worker();
  await until(async () => (await get(second, '/v1/ready')).statusCode === 200, 'the shard is not restored');
  t.match((await get(second, '/v1/shards/a')).json(), { source: `s3://models/${source.key}?versionId=v1`, digest });
  t.ok(memoryContains(0, bytes));
});

t.test('a shard is not repaired from an object that was replaced', async (t) => {
  const { server, worker } = await start(t);
  server.put(source.key, bytes, claimed);
  const started = await worker();
  t.equal((await commit(started, 'a')).statusCode, 201);
  server.put(source.key, patternBytes(3_000_000, 9), { headers: {} });
  damage(bytes, 0, 1_200_000);
  t.match((await post(started, '/v1/shards/a/verify', {})).json(), { verified: false });
  const hasFailed = async () => /repairs? failed/.test((await get(started, '/v1/ready')).body);
  await until(hasFailed, 'the repair does not fail');
  t.equal((await get(started, '/v1/shards/a')).json().state, 'corrupt');
});

t.test('a pull of a prefix seals the files of its index, and a replaced file undoes all of them', async (t) => {
  const { server, worker } = await start(t);
  const files = modelOfSizes([300_000, 400_000, 500_000]);
  const put = () => {
    for (const [name, content] of files) {
      server.put(`llm/${name}`, content, { headers: { 'x-amz-meta-sha256': sha256(content).slice('sha256:'.length) } });
    }
  };
  put();
  server.put('llm/consolidated.safetensors', tensorFile('t0', 1000));
  server.put('llm/LICENSE', Buffer.from('text'));
  const started = await worker();
  const from = { type: 's3', name: 'ceph', bucket: 'models', key: 'llm/' };
  const pull = (id: string) => post(started, '/v1/pulls', { pull_id: id, source: from, shard_id_prefix: id });
  t.equal((await pull('a')).statusCode, 202);
  const sealed = await endedPull(started, 'a');
  t.match(sealed, { state: 'sealed', problem: null, received_bytes: sealed.bytes });
  t.equal(sealed.files.length, 3);
  t.match((await get(started, '/v1/shards/a-1')).json(), { state: 'sealed', source: /^s3:..models.llm.model-00002/ });

  server.intercept = ({ key, headers }) => {
    if (key.includes('model-00003') && headers.has('if-match')) server.put(key, tensorFile('t2', 500_000).fill(9, 400));
    return false;
  };
  t.equal((await pull('b')).statusCode, 202);
  t.match(await endedPull(started, 'b'), { state: 'failed', problem: { code: /^(SOURCE_CHANGED|FORMAT_INVALID)$/ } });
  t.equal((await get(started, '/v1/shards/b-0')).statusCode, 404);
});
