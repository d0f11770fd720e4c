import t, { type Test } from 'tap';
import { ReadyCache } from '../../../src/http/routes/ready_cache.js';
import { ReadyWaiters } from '../../../src/http/routes/ready_waiters.js';
import { momentNow } from '../../../src/vram/moment.js';
import { aliveOf } from '../../support/alive.js';
import { patternBytes } from '../../support/bytes.js';
import { head, RawClient } from '../../support/raw_http.js';
import { get, post, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

/** Sends a long poll that has the response with this tag. */
const wait = (worker: TestWorker, etag: unknown, url = '/v1/ready?wait_seconds=30') =>
  worker.inject({ url, headers: { 'if-none-match': String(etag) } });

const waiting = async (worker: TestWorker) =>
  Number(/vram_ready_waiters (\d+)/.exec((await get(worker, '/metrics')).body)?.[1]);

/** Moves the monotonic clock. */
function moveClock(t: Test): (seconds: number) => void {
  const now = performance.now.bind(performance);
  let laterMs = 0;
  t.intercept(performance, 'now', { value: () => now() + laterMs, configurable: true });
  return (seconds) => {
    laterMs += seconds * 1000;
  };
}

t.test('a long poll ends as soon as the worker becomes ready, and as soon as it is not ready any more', async (t) => {
  const worker = await startWorker(t);
  const ofModel = '/v1/ready?wait_seconds=30&model_ref=m';
  const empty = await get(worker, ofModel);
  t.equal(empty.statusCode, 503, 'without a tag there is nothing to wait for');
  t.match(empty.headers, { etag: String, 'cache-control': 'no-cache' });
  const untilReady = async () => {
    for (let answer = empty; ; answer = await wait(worker, answer.headers.etag, ofModel)) {
      if (answer.statusCode === 200) return answer;
    }
  };
  const becomesReady = untilReady();
  await until(async () => (await waiting(worker)) === 1);
  await upload(worker, 'a', patternBytes(10), { model_ref: 'm' });
  const ready = await becomesReady;
  t.match(ready.json(), { ready: true, models: [{ model_ref: 'm' }] });

  const drained = wait(worker, (await get(worker, '/v1/ready')).headers.etag);
  await until(async () => (await waiting(worker)) === 1);
  worker.residency.drain();
  const last = await drained;
  t.equal(last.statusCode, 503);
  t.match(last.json(), { ready: false, state: 'draining', reasons: [{ code: 'DRAINING' }] });
  t.equal(last.headers.connection, 'close');
  t.equal((await wait(worker, last.headers.etag)).statusCode, 503, 'a worker that ends does not wait');
  t.equal(await waiting(worker), 0);
});

t.test('without a change a long poll ends after its time, with 304 only if the worker is ready', async (t) => {
  const worker = await startWorker(t);
  const moveOn = moveClock(t);
  const { etag } = (await get(worker, '/v1/ready?wait_seconds=30')).headers;
  const notReady = wait(worker, etag);
  await until(async () => (await waiting(worker)) === 1);
  moveOn(30);
  t.match(await notReady, { statusCode: 503, headers: { etag } });
  t.match((await notReady).json(), { ready: false });
  await upload(worker, 'a', patternBytes(10));
  const ready = await get(worker, '/v1/ready');
  const unchanged = wait(worker, ready.headers.etag);
  await until(async () => (await waiting(worker)) === 1);
  moveOn(30);
  t.match(await unchanged, { statusCode: 304, body: '', headers: { etag: ready.headers.etag } });
});

t.test('a change that leaves the worker ready ends a long poll, at most once a second', async (t) => {
  const worker = await startWorker(t);
  const moveOn = moveClock(t);
  await upload(worker, 'a', patternBytes(10));
  const { etag } = (await get(worker, '/v1/ready')).headers;
  const first = wait(worker, etag);
  await until(async () => (await waiting(worker)) === 1);
  worker.residency.pauseScrub(true);
  const paused = await first;
  t.match(paused.json(), { ready: true, scrub: { state: 'paused' } });

  const isKept = wait(worker, paused.headers.etag);
  const second = wait(worker, paused.headers.etag);
  await until(async () => (await waiting(worker)) === 2);
  worker.residency.pauseScrub(false);
  t.equal(await waiting(worker), 2);
  moveOn(1);
  t.match((await second).json(), { scrub: { state: 'waiting' } });
  t.match((await isKept).json(), { scrub: { state: 'waiting' } });
});

t.test('a shard that a client verifies is new in the answer of a long poll', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10));
  const { etag } = (await get(worker, '/v1/ready')).headers;
  const answer = wait(worker, etag);
  await until(async () => (await waiting(worker)) === 1);
  await new Promise((resolve) => setTimeout(resolve, 2));
  await post(worker, '/v1/shards/a/verify');
  const { last_verified_at } = (await get(worker, '/v1/shards/a')).json();
  t.equal((await answer).json().handles[0].shard.last_verified_at, last_verified_at);
});

t.test('a long poll needs a token, and is refused with a nonce or a maximum age', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_READY_PUBLIC: 'on' } });
  t.match((await worker.app.inject('/v1/ready?wait_seconds=1')).json(), { status: 401, code: 'AUTH_FAILED' });
  for (const query of [
    'wait_seconds=1&nonce=n',
    'wait_seconds=1&max_age_seconds=1',
    'wait_seconds=0',
    'wait_seconds=301',
  ]) {
    t.match((await get(worker, `/v1/ready?${query}`)).json(), { status: 400, code: 'INVALID_PARAMS' }, query);
  }
});

t.test('a wait ends early if its place is needed or the worker drains, and none begins after that', async (t) => {
  const worker = await startWorker(t);
  const { residency } = worker;
  const cache = new ReadyCache(residency);
  const waiters = new ReadyWaiters({ residency, cache });
  const query = { withHandles: true, askedAt: momentNow(), actor: { name: 'operator', requestId: 'r' } } as const;
  const seen = await cache.get(query);
  const [needed, never] = [new AbortController(), new AbortController().signal];
  const start = (signal = never) => waiters.wait(query, seen, { maxMs: 30_000, signal });
  const [first, second] = [start(), start(needed.signal)];
  needed.abort();
  t.equal(await second, undefined);
  t.equal(waiters.count, 1);
  residency.drain();
  t.match(await Promise.all([first, start()]), [{ status: 503 }, undefined]);
  t.equal(await start(needed.signal), undefined);
  t.equal(waiters.count, 0);
});

t.test('a client that leaves does not wait any more, also after it closed only its half', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const { etag } = (await get(worker, '/v1/ready?wait_seconds=30')).headers;
  const clients = Array.from({ length: 3 }, () => new RawClient(worker.url));
  for (const client of clients) client.send(head('GET /v1/ready?wait_seconds=30', { 'If-None-Match': String(etag) }));
  await until(async () => (await waiting(worker)) === 3);
  for (const client of clients) await client.reset();
  await until(async () => (await waiting(worker)) === 0);
});

t.test('a wait keeps no response, because many clients can have different copies of a large one', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10));
  const bodies: WeakRef<object>[] = [];
  const { get: original } = ReadyCache.prototype;
  t.intercept(ReadyCache.prototype, 'get', {
    configurable: true,
    value: async function (this: ReadyCache, ...args: Parameters<typeof original>) {
      const response = await original.apply(this, args);
      bodies.push(new WeakRef(response.body));
      return response;
    },
  });
  const { etag } = (await get(worker, '/v1/ready')).headers;
  for (let count = 1; count <= 6; count++) {
    // Another revision with the same response.
    for (const isPaused of [true, false]) worker.residency.pauseScrub(isPaused);
    void wait(worker, etag);
    await until(async () => (await waiting(worker)) === count);
  }
  t.ok(bodies.length > 6);
  await until(() => aliveOf(bodies) <= 2);
  t.equal(await waiting(worker), 6);
});
