import t from 'tap';
import { closeGracefully } from '../../../src/http/plugins/graceful_close.js';
import { endedPull, modelOfSizes, startPull, startPuller, startSource } from '../../support/pull_source.js';
import { head, RawClient } from '../../support/raw_http.js';
import { get } from '../../support/requests.js';
import { until } from '../../support/until.js';
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

t.test('closing ends the long polls of a pull that has ended', async (t) => {
  const source = await startSource(t, modelOfSizes([5000]));
  const worker = await startPuller(t, source);
  await startPull(worker, source, 'a');
  await endedPull(worker, 'a');
  const { etag } = (await get(worker, '/v1/pulls/a')).headers;
  const url = await worker.app.listen({ host: '127.0.0.1', port: 0 });
  const poll = new RawClient(url).send(head('GET /v1/pulls/a?wait_seconds=300', { 'If-None-Match': String(etag) }));
  await until(async () => /vram_long_polls 1/.test((await get(worker, '/metrics')).body));
  await closeGracefully(worker.app, 60_000);
  t.match(await poll.whole(), /^HTTP\/1.1 304 /);
});
