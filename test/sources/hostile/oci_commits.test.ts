import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { damage, memoryContains } from '../../support/damage.js';
import { FakeRegistry, sha256, title } from '../../support/fake_registry.js';
import { claimsOf } from '../../support/handles.js';
import { loginFor, ociSource } from '../../support/oci_sources.js';
import { get, post } from '../../support/requests.js';
import { simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

// Commits of layers of a registry by a worker.

process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';
t.afterEach(() => simulator.reset());

const bytes = patternBytes(3_000_000);
const digest = sha256(bytes);

/** A registry whose tokens end with each connection that it cuts, and a worker that may read it. */
async function start(t: Test) {
  const registry = await FakeRegistry.start(t);
  const layer = registry.addBlob(bytes, 'application/octet-stream', { [title]: 'model.bin' });
  const manifest = registry.addManifest('v1', [layer]);
  const state = { tokens: 0, isCutting: false, content: bytes };
  let accepted = '';
  registry.intercept = (request, response) => {
    if (request.url?.startsWith('/token') === true) {
      state.tokens += 1;
      accepted = `Bearer token-${state.tokens}`;
      response.end(JSON.stringify({ token: `token-${state.tokens}` }));
      return true;
    }
    if (request.headers.authorization !== accepted) {
      response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${registry.origin}/token"` }).end();
      return true;
    }
    const [, first, last] = /^bytes=([0-9]+)-([0-9]+)$/.exec(request.headers.range ?? '') ?? [];
    if (first === undefined || last === undefined) return false;
    const part = state.content.subarray(Number(first), Number(last) + 1);
    const range = `bytes ${first}-${last}/${bytes.length}`;
    response.writeHead(206, { 'Content-Range': range, 'Content-Length': part.length, 'Docker-Content-Digest': digest });
    const isCut = state.isCutting && part.length > 700_000;
    if (!isCut) response.end(part);
    else {
      accepted = '';
      response.write(part.subarray(0, 700_000), () => setTimeout(() => response.destroy(), 20));
    }
    return true;
  };
  const host = `127.0.0.1:${registry.port}`;
  const { registry: sources } = ociSource({ endpoint: registry.origin, files: loginFor(host) });
  const env = { WORKER_MANIFEST: join(temporaryDirectory(t), 'manifest.json') };
  const worker = () => startWorker(t, { env, residency: { registry: sources } });
  return { registry, state, worker, modelRef: `oci://${host}/models/llama@${manifest}` };
}

const source = { type: 'oci', repository: 'models/llama', reference: 'v1', files: ['model.bin'] };
const commit = (worker: TestWorker, shardId: string) =>
  post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'm', source });

t.test('a layer is committed through cuts, each of which ends the token', async (t) => {
  const { state, worker, modelRef } = await start(t);
  state.isCutting = true;
  const created = await commit(await worker(), 'a');
  t.equal(created.statusCode, 201, created.body);
  t.match(created.json().shard, {
    digest,
    vram_bytes: bytes.length,
    source: `${modelRef}#model.bin`,
    restorable: true,
  });
  t.match(claimsOf(created.json().handle), { expected: 'sha256', expected_by: 'source', digest });
  t.ok(memoryContains(0, bytes));
  t.ok(state.tokens >= 5, 'each cut needed a new token');
});

t.test('other bytes than those of the digest are fetched once more, and not sealed', async (t) => {
  const { registry, state, worker } = await start(t);
  const started = await worker();
  state.content = Buffer.from(bytes).fill(1, 5, 6);
  const refused = (await commit(started, 'a')).json();
  t.match(refused, { status: 422, code: 'DIGEST_MISMATCH' });
  const whole = registry.requests.filter(({ headers }) => headers.range === `bytes=0-${bytes.length - 1}`);
  t.equal(whole.length, 2);
  t.equal((await get(started, '/v1/shards/a')).statusCode, 404);
});

t.test('a shard is repaired and restored from its digest, although the tag moved', async (t) => {
  const { registry, worker, modelRef } = await start(t);
  const first = await worker();
  t.equal((await commit(first, 'a')).statusCode, 201);
  registry.addManifest('v1', [
    registry.addBlob(patternBytes(9000, 2), 'application/octet-stream', { [title]: 'model.bin' }),
  ]);
  registry.requests.length = 0;
  damage(bytes, 0, 1_200_000);
  t.match((await post(first, '/v1/shards/a/verify', {})).json(), { verified: false });
  await until(async () => (await get(first, '/v1/shards/a')).json().state === 'sealed', 'the shard is not repaired');
  const last = registry.requests.at(-1);
  t.strictSame([last?.url, last?.headers.range], [`/v2/models/llama/blobs/${digest}`, 'bytes=1048576-1572863']);
  await first.stop();

  const second = await worker();
  await until(async () => (await get(second, '/v1/ready')).statusCode === 200, 'the shard is not restored');
  t.match((await get(second, '/v1/shards/a')).json(), { source: `${modelRef}#model.bin`, digest });
  t.ok(memoryContains(0, bytes));
  t.ok(
    registry.log.every((line) => !line.endsWith('/manifests/v1')),
    'the tag is never asked for again',
  );
});
