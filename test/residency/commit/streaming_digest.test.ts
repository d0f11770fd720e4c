import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { head, RawClient } from '../../support/raw_http.js';
import { availableBytes, get, mebibyte, post, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

process.env.CUDA_SIM_DEVICES = '256MiB';
process.env.CUDA_SIM_ENGINE = 'fast';

/** Two parts that are sealed while the rest comes, and an odd rest. */
const bytes = patternBytes(128 * mebibyte + 12_345);
const digests = { digest: sha256(bytes), tree_digest: referenceTreeDigest(bytes) };
const put = `PUT /v1/commit?shard_id=a&model_ref=m`;
const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

t.test('a part that has come is digested on the device before the rest has', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const launches = simulator.calls('cuLaunchKernel');
  const client = new RawClient(worker.url).send(head(put, { 'Content-Length': bytes.length }));
  client.send(bytes.subarray(0, 70 * mebibyte));
  while (simulator.calls('cuLaunchKernel') === launches) await tick();
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'receiving', sealed: false });
  client.send(bytes.subarray(70 * mebibyte));
  await client.until(/"handle":/);
  await client.leave();
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'sealed', ...digests });
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true });
});

t.test('a shard of several parts by upload in chunks and by file has the digests of its bytes', async (t) => {
  const directory = t.testdir();
  writeFileSync(join(directory, 'a.gguf'), bytes);
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  t.match((await upload(worker, 'a', bytes)).json().shard, { state: 'sealed', ...digests });
  await worker.inject({ method: 'DELETE', url: '/v1/shards/a' });
  const answer = await post(worker, '/v1/commit', {
    shard_id: 'b',
    model_ref: 'model',
    source: { type: 'file', path: 'a.gguf' },
  });
  t.equal(answer.statusCode, 201, answer.body);
  t.match(answer.json().shard, { state: 'sealed', ...digests });
});

t.test('a client that leaves when a part is sealed leaves nothing', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  const launches = simulator.calls('cuLaunchKernel');
  const client = new RawClient(worker.url).send(head(put, { 'Content-Length': bytes.length }));
  client.send(bytes.subarray(0, 100 * mebibyte));
  while (simulator.calls('cuLaunchKernel') === launches) await tick();
  client.reset();
  while (worker.residency.shards({ limit: 1 }).shards.length > 0) await tick();
  t.same(await availableBytes(worker), before);
  t.equal(simulator.live('*'), live);
});

t.test('a part that can not be sealed or digested ends the commit, and nothing is left', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  for (const fault of [
    'cuMemSetAccess:2=999',
    'cuMemSetAccess:3=999',
    'cuLaunchKernel:1=999',
    'cuLaunchKernel:4=999',
  ]) {
    simulator.reset();
    simulator.faults(fault);
    const answer = await upload(worker, 'a', bytes);
    simulator.reset();
    t.match(answer.json(), { status: 500, code: 'CUDA_ERROR' }, fault);
    t.same(await availableBytes(worker), before, fault);
    t.equal(simulator.live('*'), live, fault);
    t.equal((await get(worker, '/v1/shards/a')).statusCode, 404, fault);
  }
});
