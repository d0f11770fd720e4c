import { setTimeout as sleep } from 'node:timers/promises';
import fastify from 'fastify';
import t from 'tap';
import { errorHandler } from '../../../src/http/plugins/error_handler.js';
import { pressure, RateLimitStore } from '../../../src/http/plugins/limits.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

t.test('a token is limited to its requests per second, except for probes and ready', async (t) => {
  const { inject, app } = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '3' } });
  const all = (url: string, count: number) => Promise.all(Array.from({ length: count }, () => inject({ url })));
  for (const url of ['/livez', '/readyz', '/v1/ready']) {
    const statuses = (await all(url, 10)).map((answer) => answer.statusCode);
    t.notOk(statuses.includes(429), url);
  }
  const answers = await all('/v1/devices', 5);
  t.same(answers.map((answer) => answer.statusCode).sort(), [200, 200, 200, 429, 429]);
  const refused = answers.find((answer) => answer.statusCode === 429);
  t.match(refused?.json(), { code: 'RATE_LIMITED', retriable: true });
  t.match(refused?.headers, { 'retry-after': '1' });
  t.equal((await app.inject('/livez')).statusCode, 200);
});

t.test('an overloaded worker refuses everything but probes and ready', async (t) => {
  const app = fastify();
  await app.register(errorHandler);
  app.get('/livez', async () => 'ok');
  await app.register(async (v1) => {
    await v1.register(pressure, { maxHeapBytes: 1 });
    v1.get('/work', async () => 'done');
    v1.get('/ready', { config: { rateLimit: false } }, async () => 'yes');
  });
  t.teardown(() => app.close());
  let answer = await app.inject('/work');
  await until(async () => {
    answer = await app.inject('/work');
    return answer.statusCode !== 200;
  });
  t.match(answer.json(), { status: 429, code: 'RATE_LIMITED', retriable: true, retry_after_ms: 1000 });
  t.match(answer.headers, { 'retry-after': '1' });
  t.equal((await app.inject('/ready')).statusCode, 200);
  t.equal((await app.inject('/livez')).statusCode, 200);
});

const count = (windows: RateLimitStore, key: string, windowMs = 60_000): number | undefined => {
  let seen: number | undefined;
  windows.incr(
    key,
    (_error, result) => {
      seen = result?.current;
    },
    windowMs,
  );
  return seen;
};

t.test('each key has its own count, and each child its own keys', async (t) => {
  const windows = new RateLimitStore();
  t.same([count(windows, 'a'), count(windows, 'a'), count(windows, 'b'), count(windows, 'a')], [1, 2, 1, 3]);
  t.equal(count(windows.child(), 'a'), 1);
});

t.test('an expired window restarts at one', async (t) => {
  const windows = new RateLimitStore();
  count(windows, 'a', 5);
  await sleep(10);
  t.equal(count(windows, 'a', 5), 1);
});

t.test('the number of keys is limited, and the oldest key is forgotten first', async (t) => {
  const windows = new RateLimitStore();
  for (let key = 0; key <= 5000; key += 1) count(windows, String(key));
  t.equal(count(windows, '5000'), 2);
  t.equal(count(windows, '1'), 2);
  t.equal(count(windows, '0'), 1);
});
