import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { damage } from '../support/damage.js';
import { claimsOf } from '../support/handles.js';
import { shardsListedIn } from '../support/manifest.js';
import { sendRange } from '../support/range_server.js';
import { availableBytes, get, mebibyte, post, sha256 } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { labRegistry, type SourceWorkerOptions, sourceWorker, transfersOf } from '../support/source_worker.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

t.afterEach(() => simulator.reset());

const group = 512 * 1024;
const bytes = patternBytes(3 * mebibyte + 5);
const expected_digest = sha256(bytes);

/** A worker with a manifest and the shard `a` from an HTTP server. */
async function committed(t: Test, options: SourceWorkerOptions = {}) {
  const manifest = join(temporaryDirectory(t), 'manifest');
  const env = { WORKER_MANIFEST: manifest, ...options.env };
  const residency = { repairBackoffMs: [5, 5], ...options.residency };
  const scene = await sourceWorker(t, { 'model.bin': bytes }, { ...options, env, residency });
  const answer = await scene.commit('a', 'model.bin', { expected_digest });
  t.equal(answer.statusCode, 201, answer.body);
  const restart = async () => {
    await scene.worker.stop();
    const registry = labRegistry(scene.server.origin, options.settings);
    return startWorker(t, { env, residency: { registry, restoreRetryMs: 5 } });
  };
  return { ...scene, manifest, restart };
}

const isSealed = (worker: TestWorker) => async () => (await get(worker, '/v1/shards/a')).json().state === 'sealed';

t.test(
  'a restart restores a shard from its source, over cut connections, with the same claims',
  onSimulator,
  async (t) => {
    const { server, restart, manifest, url } = await committed(t);
    t.match(shardsListedIn(manifest), [{ source: { type: 'http', name: 'lab', url: url('model.bin') } }]);
    let cuts = 5;
    server.interfere = ({ headers: { range = '' } }, response) => {
      if (range === 'bytes=0-0' || cuts-- <= 0) return false;
      sendRange(response, bytes, range, Number(/^bytes=(\d+)-/.exec(range)?.[1]) + 400_000);
      return true;
    };
    const next = await restart();
    await until(isSealed(next));
    const [{ handle }] = (await get(next, '/v1/ready')).json().handles;
    t.match(claimsOf(handle), {
      digest: expected_digest,
      expected: 'sha256',
      expected_by: 'client',
      source: url('model.bin'),
    });
    t.ok(cuts <= 0, 'the connections were cut');
  },
);

t.test(
  'a shard is lost if its source has other bytes, and waits for one that does not answer',
  onSimulator,
  async (t) => {
    const { server, restart } = await committed(t);
    let refusals = 20;
    server.interfere = (_request, response) => {
      if (refusals-- <= 0) return false;
      response.writeHead(503).end();
      return true;
    };
    const second = await restart();
    await until(isSealed(second), 'it is restored when the source answers again');
    t.ok(refusals <= 0);
    await second.stop();
    server.files.set('/models/model.bin', Buffer.concat([bytes, Buffer.alloc(1)]));
    const third = await restart();
    const lost = async () => (await get(third, '/v1/ready')).json().lost;
    await until(async () => (await lost()).length === 1);
    t.match(await lost(), [{ shard_id: 'a', detail: /length of the file at the source has changed/ }]);
  },
);

t.test('a repair reads only the damaged ranges of the source, over cut connections', onSimulator, async (t) => {
  const { worker, server } = await committed(t);
  const before = server.requests.length;
  let cuts = 2;
  server.interfere = ({ headers: { range = '' } }, response) => {
    if (range === 'bytes=0-0' || cuts-- <= 0) return false;
    sendRange(response, bytes, range, Number(/^bytes=(\d+)-/.exec(range)?.[1]) + 300_000);
    return true;
  };
  damage(bytes, 0, group + 7, bytes.length - 1);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: false });
  await until(isSealed(worker));
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true });
  const ranges = transfersOf(server.requests.slice(before)).map(({ range }) => range);
  t.strictSame(ranges, [
    `bytes=${group}-${2 * group - 1}`,
    `bytes=${group + 300_000}-${2 * group - 1}`,
    `bytes=${6 * group}-${bytes.length - 1}`,
  ]);
});

t.test('a repair refuses other bytes, and waits for a source that does not answer', onSimulator, async (t) => {
  const { worker, server } = await committed(t);
  const detail = async (): Promise<string> => (await get(worker, '/v1/ready')).json().reasons[0]?.detail ?? '';
  let isDown = true;
  server.interfere = (_request, response) => {
    if (!isDown) return false;
    response.writeHead(503).end();
    return true;
  };
  damage(bytes, 0, 9);
  await post(worker, '/v1/shards/a/verify');
  await until(async () => /will be retried/.test(await detail()));
  // More failures than the repairs of defective memory have.
  await sleep(100);
  t.match(await detail(), /will be retried/);
  isDown = false;
  await until(isSealed(worker));
  const other = Buffer.from(bytes);
  other.fill(1, 20, 40);
  server.files.set('/models/model.bin', other);
  damage(bytes, 0, 9);
  await post(worker, '/v1/shards/a/verify');
  await until(async () => /repairs failed/.test(await detail()));
  t.equal(worker.residency.shard('a').state, 'corrupt');
});

t.test('a URL with a query is not in the manifest, and its shard is lost and not repaired', onSimulator, async (t) => {
  const { worker, commit, manifest, restart } = await committed(t);
  t.equal((await commit('b', 'model.bin?sig=secret', { expected_digest })).statusCode, 201);
  const listed = shardsListedIn(manifest).find(({ shard_id }) => shard_id === 'b');
  t.equal(listed?.source, null);
  t.notMatch(JSON.stringify(listed), /secret/);
  const next = await restart();
  const lost = async () => (await get(next, '/v1/ready')).json().lost;
  await until(async () => (await lost()).length === 1);
  t.match(await lost(), [{ shard_id: 'b', detail: /no source to restore it from/ }]);
  t.equal(worker.residency.phase, 'stopped');
});

/** A worker whose source sends the first megabyte, and then nothing more. */
async function stalled(t: Test, env: NodeJS.ProcessEnv = {}) {
  const scene = await sourceWorker(t, { 'model.bin': bytes }, { env, listen: true });
  scene.server.interfere = ({ headers: { range = '' } }, response) => {
    if (range !== `bytes=0-${bytes.length - 1}`) return false;
    response.writeHead(206, {
      'Content-Range': `bytes 0-${bytes.length - 1}/${bytes.length}`,
      'Content-Length': bytes.length,
      ETag: `"${bytes.length}-${bytes.subarray(0, 16).toString('hex')}"`,
    });
    response.write(bytes.subarray(0, mebibyte));
    return true;
  };
  return { ...scene, before: await availableBytes(scene.worker) };
}

t.test('a client that leaves ends a commit and frees everything', async (t) => {
  const { worker, url, before } = await stalled(t);
  const leaving = new AbortController();
  const source = { type: 'http', url: url('model.bin') };
  const sent = fetch(`${worker.url}/v1/commit`, {
    method: 'POST',
    headers: { authorization: `Bearer ${worker.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ shard_id: 'left', model_ref: 'm', expected_digest, source }),
    signal: leaving.signal,
  });
  const received = async () => (await get(worker, '/v1/shards/left')).json().received_bytes;
  await until(async () => (await received()) >= mebibyte);
  leaving.abort();
  await t.rejects(sent);
  await until(async () => (await get(worker, '/v1/shards/left')).statusCode === 404);
  t.strictSame(await availableBytes(worker), before);
});

t.test('a deadline ends a commit and frees everything', async (t) => {
  const { worker, commit, before } = await stalled(t, { WORKER_PULL_DEADLINE_SECONDS: '2' });
  t.match((await commit('late', 'model.bin', { expected_digest })).json(), { status: 504, code: 'SOURCE_TIMEOUT' });
  t.strictSame(await availableBytes(worker), before);
});
