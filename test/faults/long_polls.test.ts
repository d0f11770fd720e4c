import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { head, RawClient } from '../support/raw_http.js';
import { get, upload } from '../support/requests.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

const metric = async (worker: TestWorker, name: string) =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec((await get(worker, '/metrics')).body)?.[1]);

const waiting = (worker: TestWorker) => metric(worker, 'vram_long_polls');

const started = (t: Pick<typeof import('tap').t, 'teardown'>) =>
  startWorker(t, {
    listen: true,
    env: { WORKER_CONNECTIONS_PER_ADDRESS: '2000', WORKER_REQUESTS_PER_SECOND: '100000' },
  });

/** Connections of one address that wait for a change. */
async function waitAll(worker: TestWorker, count: number, localAddress?: string): Promise<RawClient[]> {
  const tags = { ready: '', overview: '' };
  for (const route of ['ready', 'overview'] as const) {
    tags[route] = String((await get(worker, `/v1/${route}?wait_seconds=1`)).headers.etag);
  }
  return Array.from({ length: count }, (_, index) => {
    const route = index % 2 === 0 ? 'ready' : 'overview';
    const client = new RawClient(worker.url, localAddress === undefined ? {} : { localAddress });
    return client.send(head(`GET /v1/${route}?wait_seconds=300`, { 'If-None-Match': tags[route] }));
  });
}

t.test('the waits of 1,000 clients that die leave nothing behind, round after round', async (t) => {
  const worker = await started(t);
  await upload(worker, 'a', patternBytes(10));
  for (let round = 1; round <= 3; round++) {
    const clients = await waitAll(worker, 1000);
    await until(async () => (await waiting(worker)) === 1000);
    for (const client of clients) await client.reset();
    await until(async () => (await waiting(worker)) === 0);
  }
  t.equal(await metric(worker, 'vram_ready_waiters'), 0);
  const [next] = await waitAll(worker, 1);
  await until(async () => (await waiting(worker)) === 1);
  await next?.reset();
});

t.test('a client that takes all places gives some up to another address', async (t) => {
  const worker = await started(t);
  const greedy = await waitAll(worker, 1024, '127.0.0.1');
  await until(async () => (await waiting(worker)) === 1024);
  const others = await waitAll(worker, 20, '127.0.0.2');
  await until(() => greedy.filter(({ heard }) => heard.startsWith('HTTP/1.1')).length >= 20);
  t.equal(others.filter(({ heard }) => heard !== '').length, 0, 'the others wait');
  t.equal(
    greedy.filter(({ heard }) => heard.startsWith('HTTP/1.1 304') || heard.startsWith('HTTP/1.1 503')).length,
    20,
  );
  const [refused] = await waitAll(worker, 1, '127.0.0.1');
  await until(() => refused?.heard.includes('RATE_LIMITED') === true);
  t.match(refused?.heard, /^HTTP\/1.1 429/);
  for (const client of [...greedy, ...others]) await client.reset();
  await until(async () => (await waiting(worker)) === 0);
});
