import t from 'tap';
import { closeGracefully } from '../../../src/http/plugins/graceful_close.js';
import { head, RawClient } from '../../support/raw_http.js';
import { startWorker } from '../../support/worker.js';

t.test('a draining worker closes connections after the response, and livez is still 200', async (t) => {
  const { url, residency } = await startWorker(t, { listen: true });
  residency.drain();
  for (const [path, status] of [
    ['/livez', 200],
    ['/readyz', 503],
    ['/v1/ready', 503],
  ] as const) {
    const heard = await new RawClient(url).send(head(`GET ${path}`)).whole();
    t.match(heard, new RegExp(`^HTTP/1.1 ${status} `), path);
    t.match(heard, /connection: close/i);
  }
});

t.test('closing ends idle connections and waits for running requests', async (t) => {
  const { app, url } = await startWorker(t, { listen: true });
  const idle = new RawClient(url).send(head('GET /livez'));
  await idle.until(/"ok"\}/);
  const busy = new RawClient(url).send(head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': 3 }));
  busy.send('a');
  await new RawClient(url).send(head('GET /v1/shards/a')).until(/"state":"receiving"/);
  const closed = closeGracefully(app, 60_000);
  await idle.closed;
  busy.send('bc');
  t.match(await busy.whole(), /HTTP\/1.1 201 Created/);
  await closed;
});

t.test('at the deadline open connections are closed', async (t) => {
  const { app, url } = await startWorker(t, { listen: true });
  const stuck = new RawClient(url).send(head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': 3 }));
  stuck.send('a');
  await new RawClient(url).send(head('GET /v1/shards/a')).until(/"state":"receiving"/);
  await closeGracefully(app, 0);
  await stuck.closed;
  t.notMatch(stuck.heard, / 201 /);
});
