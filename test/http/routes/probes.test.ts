import t from 'tap';
import { startWorker } from '../../support/worker.js';

t.test('livez is 200 in every state, readyz has reasons', async (t) => {
  const { app, residency } = await startWorker(t, { start: false });
  t.same((await app.inject('/livez')).json(), { status: 'ok' });
  const starting = await app.inject('/readyz');
  t.equal(starting.statusCode, 503);
  t.match(starting.json(), { ready: false, reasons: [{ code: 'STARTING' }] });
  await residency.start();
  const ready = await app.inject('/readyz');
  t.equal(ready.statusCode, 200);
  t.same(ready.json(), { ready: true, reasons: [] }, 'a worker without shards accepts work');
  residency.drain();
  t.match((await app.inject('/readyz')).json(), { ready: false, reasons: [{ code: 'DRAINING' }] });
  t.equal((await app.inject('/livez')).statusCode, 200);
});

t.test('routes that need devices are STARTING until the devices are up', async (t) => {
  const { inject } = await startWorker(t, { start: false });
  for (const url of ['/v1/devices', '/v1/shards']) {
    const answer = await inject({ url });
    t.match(answer.json(), { status: 503, code: 'STARTING', retriable: true });
    t.match(answer.headers, { 'retry-after': /^\d+$/ });
  }
});

t.test('probes refuse a query', async (t) => {
  const { app } = await startWorker(t, { start: false });
  for (const url of ['/livez?x=1', '/readyz?x=1', '/metrics?x=1'])
    t.equal((await app.inject(url)).statusCode, 400, url);
});
