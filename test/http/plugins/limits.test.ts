import { setTimeout as sleep } from 'node:timers/promises';
import fastify from 'fastify';
import t from 'tap';
import { errorHandler } from '../../../src/http/plugins/error_handler.js';
import { pressure } from '../../../src/http/plugins/limits.js';
import { startWorker } from '../../support/worker.js';

t.test('a token has so many requests a second; probes and ready are not counted', async (t) => {
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

t.test('an overloaded worker sheds everything but its probes', async (t) => {
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
  while (answer.statusCode === 200) {
    await sleep(50);
    answer = await app.inject('/work');
  }
  t.match(answer.json(), { status: 429, code: 'RATE_LIMITED', retriable: true, retry_after_ms: 1000 });
  t.match(answer.headers, { 'retry-after': '1' });
  t.equal((await app.inject('/ready')).statusCode, 200);
  t.equal((await app.inject('/livez')).statusCode, 200);
});
