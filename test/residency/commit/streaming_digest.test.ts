import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { Clocks } from '../../support/clock.js';
import { flip, memoryContains, memoryOf } from '../../support/damage.js';
import { head, RawClient } from '../../support/raw_http.js';
import { availableBytes, get, mebibyte, post, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DEVICES = '256MiB';
process.env.CUDA_SIM_ENGINE = 'fast';
process.env.CUDA_SIM_DIR = t.testdir({});

/** Two parts that are sealed while the rest arrives, and a rest of odd length. */
const bytes = patternBytes(128 * mebibyte + 12_345);
const digests = { digest: sha256(bytes), tree_digest: referenceTreeDigest(bytes) };
const put = 'PUT /v1/commit?shard_id=a&model_ref=m';

t.test('a part is digested on the device while the rest arrives', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  Clocks.take(t); // they do not advance, so the last byte is always due soon
  const launches = simulator.calls('cuLaunchKernel');
  const client = new RawClient(worker.url).send(head(put, { 'Content-Length': bytes.length }));
  client.send(bytes.subarray(0, 70 * mebibyte));
  await until(() => simulator.calls('cuLaunchKernel') > launches);
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'receiving', sealed: false });
  client.send(bytes.subarray(70 * mebibyte));
  await client.until(/"handle":/);
  await client.leave();
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'sealed', ...digests });
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true });
});

t.test('damage after the early digest of a part, during a slow upload, prevents the seal', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const clocks = Clocks.take(t);
  const launches = simulator.calls('cuLaunchKernel');
  // The host computes no digest of these bytes.
  const tree = `flat_digest=false&expected_tree_digest=${digests.tree_digest}`;
  const client = new RawClient(worker.url).send(head(`${put}&${tree}`, { 'Content-Length': bytes.length }));
  client.send(bytes.subarray(0, 80 * mebibyte));
  await until(() => simulator.calls('cuLaunchKernel') > launches);
  await until(() => memoryContains(0, bytes.subarray(0, 4096)));
  const start = readFileSync(memoryOf(0)).indexOf(bytes.subarray(0, 4096));
  flip(start, [{ offset: 100, bit: 0 }]);
  clocks.pass(5000);
  client.send(bytes.subarray(80 * mebibyte));
  const answer = await client.until(/"code":/);
  t.match(answer, /^HTTP\/1.1 422 /);
  t.match(answer, /"code":"SEAL_VERIFICATION_FAILED"/, 'it is not called a mismatch of the client');
  await client.leave();
  t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  t.equal(memoryContains(0, bytes.subarray(4096, 8192)), false, 'the memory is wiped');
});

t.test('a handle is dated by the earliest digest that counts', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const clocks = Clocks.take(t);
  const launches = simulator.calls('cuLaunchKernel');
  const client = new RawClient(worker.url).send(head(put, { 'Content-Length': bytes.length }));
  client.send(bytes.subarray(0, 80 * mebibyte));
  await until(() => simulator.calls('cuLaunchKernel') > launches);
  clocks.pass(1500);
  client.send(bytes.subarray(80 * mebibyte));
  await client.until(/"handle":/);
  await client.leave();
  const digests = simulator.calls('cuLaunchKernel');
  await get(worker, '/v1/ready?max_age_seconds=2');
  t.equal(simulator.calls('cuLaunchKernel'), digests, 'the proof is 1.5 s old');
  await get(worker, '/v1/ready?max_age_seconds=1');
  t.ok(simulator.calls('cuLaunchKernel') > digests, 'the proof is too old, although the handle is new');
});

t.test('a shard of several parts has the digests of its bytes, by upload or by file', async (t) => {
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

t.test('a client that disconnects after a part was digested leaves nothing behind', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  Clocks.take(t); // they do not advance, so the last byte is always due soon
  const launches = simulator.calls('cuLaunchKernel');
  const client = new RawClient(worker.url).send(head(put, { 'Content-Length': bytes.length }));
  client.send(bytes.subarray(0, 100 * mebibyte));
  await until(() => simulator.calls('cuLaunchKernel') > launches);
  client.reset();
  await until(() => worker.residency.shards({ limit: 1 }).shards.length === 0);
  t.same(await availableBytes(worker), before);
  t.equal(simulator.live('*'), live);
});

t.test('a commit with a part that cannot be sealed or digested leaves nothing behind', onSimulator, async (t) => {
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
