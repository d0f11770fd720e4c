import t from 'tap';
import { createLogger } from '../../../src/process/logger.js';
import { head, RawClient } from '../../support/raw_http.js';
import { until } from '../../support/until.js';
import { startWorker, token } from '../../support/worker.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

t.test('a response and the log lines of its request have the same ids', async (t) => {
  const lines: string[] = [];
  const { inject } = await startWorker(t, { log: (line) => lines.push(line) });
  const answer = await inject({
    url: '/v1/shards?model_ref=secret-name',
    headers: { 'x-correlation-id': 'job-7.a_b' },
  });
  t.match(answer.headers['x-request-id'], uuid);
  t.equal(answer.headers['x-correlation-id'], 'job-7.a_b');
  const line = lines.map((text) => JSON.parse(text)).find(({ correlation_id }) => correlation_id === 'job-7.a_b');
  t.match(line, {
    request_id: answer.headers['x-request-id'],
    req: { method: 'GET', route: '/v1/shards', remote_address: '127.0.0.1' },
    res: { status: 200 },
  });
});

t.test('a request whose client leaves has a log line, and counts in the metrics', async (t) => {
  const lines: string[] = [];
  const { app, url } = await startWorker(t, { listen: true, log: (line) => lines.push(line) });
  const upload = new RawClient(url).send(head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': 5000 }));
  const isHeld = async () => /vram_http_connections\{state="busy"\} 1/.test((await app.inject('/metrics')).body);
  await until(isHeld);
  await upload.reset();
  await until(() => lines.some((line) => line.includes('"route":"/v1/commit"')));
  const line = lines.map((text) => JSON.parse(text)).find(({ req }) => req?.route === '/v1/commit');
  t.match(line, { res: { status: 422 }, code: 'LENGTH_MISMATCH', finished: false });
  const { body } = await app.inject('/metrics');
  t.match(body, /vram_http_request_duration_seconds_count\{method="PUT",route="\/v1\/commit",status="422"\} 1/);
});

t.test('an invalid correlation id is replaced', async (t) => {
  const { inject } = await startWorker(t);
  for (const id of ['', 'a b', 'x'.repeat(129), 'a,b', 'é']) {
    const { headers } = await inject({ url: '/livez', headers: { 'x-correlation-id': id } });
    t.equal(headers['x-correlation-id'], headers['x-request-id'], JSON.stringify(id));
  }
});

t.test('the instance of a problem is the request id', async (t) => {
  const { inject } = await startWorker(t);
  const answer = await inject({ url: '/v1/shards/absent' });
  t.equal(answer.json().instance, `urn:uuid:${answer.headers['x-request-id']}`);
});

t.test('no log line has a header, a query, a body or a token', async (t) => {
  const lines: string[] = [];
  const { inject, app } = await startWorker(t, { log: (line) => lines.push(line) });
  const secret = 'never-in-a-log';
  await inject({ url: `/v1/shards?model_ref=${secret}`, headers: { cookie: secret, 'user-agent': secret } });
  await inject({ method: 'POST', url: '/v1/handles/verify', payload: { handle: secret } });
  await inject({ method: 'POST', url: '/v1/plan', payload: { [secret]: secret } });
  await app.inject({ url: `/v1/${secret}`, headers: { authorization: `Bearer ${secret}` } });
  await app.inject({ url: `/${secret}/%zz` });
  t.ok(lines.length >= 5);
  t.notMatch(lines.join(''), secret);
  t.notMatch(lines.join(''), token);
});

t.test('a field outside the list is not logged', async (t) => {
  const lines: string[] = [];
  const logger = createLogger('trace', { write: (line: string) => void lines.push(line) });
  const child = logger.child({ request_id: 'r' });
  child.info({ driver: 'cuda', authorization: 'never-in-a-log', headers: { a: 'never-in-a-log' } }, 'up');
  child.error({ err: Object.assign(new Error('failed'), { secret: 'never-in-a-log' }) }, 'down');
  t.equal(lines.length, 2);
  t.match(JSON.parse(lines[0] ?? ''), {
    request_id: 'r',
    driver: 'cuda',
    left_out: ['authorization', 'headers'],
    msg: 'up',
  });
  t.match(JSON.parse(lines[1] ?? ''), { err: { type: 'Error', message: 'failed' }, msg: 'down' });
  t.notMatch(lines.join(''), 'never-in-a-log');
});
