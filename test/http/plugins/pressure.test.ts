import { setTimeout as sleep } from 'node:timers/promises';
import fastify, { type FastifyInstance } from 'fastify';
import t, { type Test } from 'tap';
import { errorHandler } from '../../../src/http/plugins/error_handler.js';
import { type PressureOptions, pressure } from '../../../src/http/plugins/pressure.js';
import { until } from '../../support/until.js';

/** Blocks the event loop. */
const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

async function appWith(t: Test, options: PressureOptions): Promise<FastifyInstance> {
  const app = fastify();
  await app.register(errorHandler);
  app.get('/livez', async () => 'ok');
  await app.register(async (v1) => {
    await v1.register(pressure, options);
    v1.get('/work', async () => 'done');
    v1.get('/ready', { config: { rateLimit: false } }, async () => 'yes');
  });
  t.teardown(() => app.close());
  return app;
}

const untilRefused = (app: FastifyInstance) => until(async () => (await app.inject('/work')).statusCode !== 200);

t.test('an overloaded worker refuses everything but probes and ready', async (t) => {
  const app = await appWith(t, { maxHeapBytes: 1 });
  await untilRefused(app);
  const answer = await app.inject('/work');
  t.match(answer.json(), { status: 429, code: 'RATE_LIMITED', retriable: true, retry_after_ms: 1000 });
  t.match(answer.headers, { 'retry-after': '1' });
  t.equal((await app.inject('/ready')).statusCode, 200);
  t.equal((await app.inject('/livez')).statusCode, 200);
});

t.test('a worker whose event loop is late again and again is overloaded', async (t) => {
  const app = await appWith(t, { maxEventLoopDelayMs: 20 });
  const load = setInterval(() => block(100), 1);
  t.teardown(() => clearInterval(load));
  await untilRefused(app);
});

t.test('a worker that paused once is not overloaded', async (t) => {
  const app = await appWith(t, { maxEventLoopDelayMs: 1000 });
  block(2500);
  // Timers run in the order in which they are due, so the sample is taken first.
  await sleep(1);
  t.equal((await app.inject('/work')).statusCode, 200);
});
