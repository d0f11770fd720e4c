import t from 'tap';
import { Clocks } from '../../support/clock.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

t.test('a token is limited to its requests per second, except for probes and ready', async (t) => {
  const { inject, app } = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '3' } });
  // All requests are in one second, however slow the machine is.
  Clocks.take(t);
  const all = (url: string, count: number) => Promise.all(Array.from({ length: count }, () => inject({ url })));
  for (const url of ['/livez', '/readyz', '/v1/ready', '/v1/ready?model_ref=m', '/v1/ready?handles=false']) {
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

t.test('ready with a nonce or a maximum age counts for the rate limit', async (t) => {
  const { inject } = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '4' } });
  Clocks.take(t);
  const urls = ['?nonce=a', '?nonce=b', '?max_age_seconds=1', '?max_age_seconds=1&nonce=c', '?nonce=d', ''];
  const answers = await Promise.all(urls.map((query) => inject({ url: `/v1/ready${query}` })));
  t.same(
    answers.map((answer) => answer.statusCode),
    [503, 503, 503, 503, 429, 503],
  );
  t.match(answers[4]?.json(), { code: 'RATE_LIMITED' });
});

t.test('the open routes share a limit, and a valid token has its own', async (t) => {
  const { app, inject } = await startWorker(t, { env: { WORKER_READY_PUBLIC: 'on' } });
  const paths = ['/metrics', '/openapi.json', '/docs', '/docs/static/index.css', '/.well-known/jwks.json', '/nowhere'];
  const statusOf = async (url: string, remoteAddress: string) => (await app.inject({ url, remoteAddress })).statusCode;
  const ask = async (count: number, address: string) => {
    const statuses: number[] = [];
    for (let n = 0; n < count; n += 1) statuses.push(await statusOf(paths[n % paths.length] ?? '/', address));
    return statuses.filter((status) => status === 429).length;
  };
  const refused: number[] = [];
  // A slow machine may need more than the second of one window.
  await until(async () => {
    refused.push(await ask(150, '10.0.0.1'));
    return (await statusOf('/v1/ready?nonce=a', '10.0.0.1')) === 429;
  });
  // Later rounds may begin in the window of an earlier one.
  t.ok((refused[0] ?? 0) <= 50, `${refused[0]} of 150 are refused: one address gets half of the limit`);
  t.equal(await statusOf('/v1/ready', '10.0.0.1'), 503);
  for (const url of ['/livez', '/readyz']) t.equal(await statusOf(url, '10.0.0.1'), 200, url);
  t.equal(await statusOf('/metrics', '10.0.0.2'), 200, 'another address');
  t.equal((await inject({ url: '/metrics', remoteAddress: '10.0.0.1' })).statusCode, 200, 'with a token');
});
