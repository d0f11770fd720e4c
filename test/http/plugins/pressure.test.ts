import fastify from 'fastify';
import t from 'tap';
import { errorHandler } from '../../../src/http/plugins/error_handler.js';
import { pressure } from '../../../src/http/plugins/pressure.js';
import { until } from '../../support/until.js';

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
