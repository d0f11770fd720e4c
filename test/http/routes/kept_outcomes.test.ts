import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { Clocks } from '../../support/clock.js';
import { endedPull } from '../../support/pull_source.js';
import { availableBytes, get, post, sha256, upload } from '../../support/requests.js';
import { TusClient, uploadOf } from '../../support/tus.js';
import { startWorker } from '../../support/worker.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DEVICES = '1GiB,1GiB';

const bytes = patternBytes(10);
const query = { shard_id: 'a', model_ref: 'model' };
const unlimited = { WORKER_REQUESTS_PER_SECOND: '1000000' };
const tenMinutesMs = 600_000;

t.test('the outcome of an upload is kept for 10 minutes', async (t) => {
  const client = new TusClient(await startWorker(t));
  const clocks = Clocks.take(t);
  const url = uploadOf(await client.create(bytes.length, query));
  t.equal((await client.send(url, 0, bytes)).statusCode, 204);
  clocks.pass(tenMinutesMs - 1);
  t.equal((await client.get(url)).statusCode, 200);
  clocks.pass(1);
  t.equal((await client.get(url)).statusCode, 404);
});

t.test('the outcomes of the newest 1024 uploads are kept', async (t) => {
  const worker = await startWorker(t, { env: unlimited });
  const client = new TusClient(worker);
  await upload(worker, 'a', bytes);
  const create = async () => uploadOf(await client.create(bytes.length, { ...query, expected_digest: sha256(bytes) }));
  const [first, second] = [await create(), await create()];
  for (let count = 2; count <= 1024; count++) await create();
  t.equal((await client.get(first)).statusCode, 404);
  t.equal((await client.get(second)).statusCode, 200);
});

t.test('256 uploads may be open, and one that ends makes room', async (t) => {
  const worker = await startWorker(t, { env: unlimited });
  const client = new TusClient(worker);
  const create = (index: number) => client.create(1, { ...query, shard_id: `a-${index}` });
  const urls: string[] = [];
  for (let index = 0; index < 256; index++) urls.push(uploadOf(await create(index)));
  const before = await availableBytes(worker);
  t.match((await create(256)).json(), { status: 429, code: 'TOO_MANY_COMMITS' });
  t.same(await availableBytes(worker), before, 'the refused upload holds no memory');
  t.equal((await client.end(urls[0] ?? '')).statusCode, 204);
  t.equal((await create(256)).statusCode, 201);
});

t.test('the newest 64 ended pulls are listed', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: t.testdir() } });
  const source = { type: 'file', path: 'missing' };
  for (let index = 0; index <= 64; index++) {
    await post(worker, '/v1/pulls', { pull_id: `p-${index}`, shard_id_prefix: 'p', source });
    await endedPull(worker, `p-${index}`);
  }
  t.equal((await get(worker, '/v1/pulls/p-0')).statusCode, 404);
  t.match((await get(worker, '/v1/pulls/p-1')).json(), { state: 'failed', problem: { code: 'NOT_FOUND' } });
  t.equal((await get(worker, '/v1/pulls')).json().pulls.length, 64);
});
