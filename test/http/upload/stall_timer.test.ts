import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { availableBytes, get } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const upload = 'PUT /v1/commit?shard_id=a&model_ref=m';
const env = { WORKER_UPLOAD_IDLE_SECONDS: '1' };

/** Resolves when the worker has this number of shards. */
async function untilShards(worker: TestWorker, count: number): Promise<void> {
  await until(async () => (await get(worker, '/v1/shards')).json().shards.length === count);
}

/** Resolves when no shard exists and all memory is available again. */
async function untilEmpty(worker: TestWorker, available: readonly number[]): Promise<void> {
  await untilShards(worker, 0);
  await until(async () => String(await availableBytes(worker)) === String(available));
}

t.test('an upload that stalls gets 408 and leaves no memory in use', async (t) => {
  const worker = await startWorker(t, { listen: true, env });
  const available = await availableBytes(worker);
  const client = new RawClient(worker.url).send(head(upload, { 'Content-Length': 5_000_000 }));
  client.send(patternBytes(1_000_000));
  const heard = await client.until(/\}$/);
  t.match(lastBody(heard), { status: 408, code: 'UPLOAD_TIMEOUT', retriable: true });
  await client.leave();
  await untilEmpty(worker, available);
});

t.test('an upload that is too slow gets 408', async (t) => {
  const worker = await startWorker(t, { listen: true, env });
  const client = new RawClient(worker.url).send(head(upload, { 'Content-Length': 5_000_000 }));
  const trickle = setInterval(() => client.send('x'), 50);
  t.teardown(() => clearInterval(trickle));
  t.match(lastBody(await client.until(/\}$/)), { code: 'UPLOAD_TIMEOUT', detail: /slower/ });
  clearInterval(trickle);
  await client.leave();
});

t.test('an upload that keeps sending bytes has no time limit', async (t) => {
  const worker = await startWorker(t, { listen: true, env });
  const bytes = patternBytes(40_000);
  const client = new RawClient(worker.url).send(head(upload, { 'Content-Length': bytes.length }));
  for (let at = 0; at < bytes.length; at += 2000) {
    client.send(bytes.subarray(at, at + 2000));
    await sleep(100);
  }
  t.match(await client.until(/\}\}$/), /^HTTP\/1.1 201 /, 'after twice the idle time');
  await client.leave();
});

t.test('a client that disconnects in its body leaves no memory in use', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const available = await availableBytes(worker);
  for (const sent of [0, 1, 3_000_000]) {
    const client = new RawClient(worker.url).send(head(upload, { 'Content-Length': 5_000_000 }));
    client.send(patternBytes(sent));
    await untilShards(worker, 1);
    await client.leave();
    await untilEmpty(worker, available);
    t.pass(`after ${sent} bytes`);
  }
  const again = await worker.inject({ method: 'PUT', url: upload.slice(4), payload: patternBytes(10) });
  t.equal(again.statusCode, 201, 'its shard id can be used again');
});

t.test('a client that disconnects while it waits leaves the queue', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { WORKER_COMMIT_SLOTS: '1' } });
  const available = await availableBytes(worker);
  const first = new RawClient(worker.url).send(head(upload, { 'Content-Length': 10 }));
  await first.send('1').until(/^/);
  await untilShards(worker, 1);
  const waiting = { 'Content-Length': 10, Expect: '100-continue' };
  const second = new RawClient(worker.url).send(head('PUT /v1/commit?shard_id=b&model_ref=m', waiting));
  await untilShards(worker, 2);
  await second.leave();
  await untilShards(worker, 1);
  t.equal(second.heard, '', 'it got no 100 Continue');
  await first.leave();
  await untilEmpty(worker, available);
});

t.test('slow and silent clients time out while they wait for a slot', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { ...env, WORKER_COMMIT_SLOTS: '1' } });
  const bytes = patternBytes(200_000);
  const put = (id: string) => head(`PUT /v1/commit?shard_id=${id}&model_ref=m`, { 'Content-Length': bytes.length });
  const first = new RawClient(worker.url).send(put('first'));
  let at = 0;
  const flow = setInterval(() => {
    first.send(bytes.subarray(at, at + 1000));
    at += 1000;
  }, 50);
  t.teardown(() => clearInterval(flow));
  await untilShards(worker, 1);

  const silent = new RawClient(worker.url).send(put('silent'));
  const trickling = new RawClient(worker.url).send(put('trickling'));
  const trickle = setInterval(() => trickling.send('x'), 50);
  t.teardown(() => clearInterval(trickle));
  const honest = new RawClient(worker.url).send(put('honest')).send(bytes);
  t.match(lastBody(await silent.until(/\}$/)), { code: 'UPLOAD_TIMEOUT', detail: /no byte/ });
  t.match(lastBody(await trickling.until(/\}$/)), { code: 'UPLOAD_TIMEOUT', detail: /slower/ });
  clearInterval(trickle);

  const { shards } = (await get(worker, '/v1/shards')).json();
  t.same(
    shards.map(({ shard_id }: { shard_id: string }) => shard_id),
    ['first', 'honest'],
    'clients that send, or that the worker does not read, remain',
  );
  clearInterval(flow);
  first.send(bytes.subarray(at));
  t.match(await first.until(/\}\}$/), / 201 /);
  t.match(await honest.until(/\}\}$/), / 201 /);
  for (const client of [first, silent, trickling, honest]) await client.leave();
});

t.test('commits beyond slots and queue get 429 and leave no memory in use', async (t) => {
  const limits = { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '2' };
  const worker = await startWorker(t, { listen: true, env: limits });
  const before = await availableBytes(worker);
  const put = (id: string) => head(`PUT /v1/commit?shard_id=${id}&model_ref=m`, { 'Content-Length': 10 });
  const clients = ['a', 'b', 'c'].map((id) => new RawClient(worker.url).send(put(id)));
  await untilShards(worker, 3);
  const fourth = new RawClient(worker.url).send(put('d')).send(patternBytes(10));
  const heard = await fourth.until(/\}$/);
  t.match(heard, /^HTTP\/1\.1 429 .*retry-after: 1\r\n/is);
  t.match(lastBody(heard), { code: 'TOO_MANY_COMMITS', retriable: true });
  t.equal((await get(worker, '/v1/shards/d')).statusCode, 404);
  for (const client of [...clients, fourth]) await client.leave();
  await untilEmpty(worker, before);
});
