import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fastify, { type InjectOptions } from 'fastify';
import t from 'tap';
import { auth } from '../../../src/http/plugins/auth.js';
import { errorHandler } from '../../../src/http/plugins/error_handler.js';
import { rateLimits } from '../../../src/http/plugins/limits.js';
import { logging } from '../../../src/http/plugins/logging.js';
import { requestEnd } from '../../../src/http/plugins/request_end.js';
import { Tokens } from '../../../src/http/plugins/tokens.js';
import { startWorker, token } from '../../support/worker.js';

t.test('every path under /v1 needs the token, even one that does not exist', async (t) => {
  const { app } = await startWorker(t);
  for (const [method, url] of [
    ['POST', '/v1/plan'],
    ['PUT', '/v1/commit'],
    ['GET', '/v1/ready'],
    ['HEAD', '/v1/ready'],
    ['GET', '/v1/shards'],
    ['GET', '/%76%31/devices'],
    ['GET', '/v1'],
    ['GET', '/v1/'],
    ['GET', '/v1/nowhere'],
    ['PATCH', '/v1/plan'],
    ['GET', '/v1/%zz'],
  ] as const) {
    const answer = await app.inject({ method, url, remoteAddress: `10.0.0.${method.length}${url.length}` });
    t.equal(answer.statusCode, 401, `${method} ${url}`);
    t.match(answer.headers['www-authenticate'], /^Bearer/);
  }
});

t.test('only the public routes need no token', async (t) => {
  const { app } = await startWorker(t);
  for (const url of ['/livez', '/readyz', '/metrics', '/docs/', '/docs/static/swagger-ui.css', '/openapi.json']) {
    t.equal((await app.inject(url)).statusCode, 200, url);
  }
  t.equal((await app.inject('/nowhere')).json().code, 'NOT_FOUND');
});

t.test('ready can be made public, other routes cannot', async (t) => {
  const { app } = await startWorker(t, { env: { WORKER_READY_PUBLIC: 'on' } });
  t.equal((await app.inject('/v1/ready')).statusCode, 503);
  t.equal((await app.inject('/v1/ready?max_age_seconds=1')).statusCode, 401, 'a verification needs a token');
  const authorization = `Bearer ${token}`;
  t.equal((await app.inject({ url: '/v1/ready?max_age_seconds=1', headers: { authorization } })).statusCode, 503);
  t.equal((await app.inject('/v1/devices')).statusCode, 401);
});

t.test('the scheme is case-insensitive, the token must match exactly', async (t) => {
  const { app } = await startWorker(t);
  const statusOf = async (authorization: string) =>
    (await app.inject({ url: '/v1/devices', headers: { authorization } })).statusCode;
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'Bearer ']) t.equal(await statusOf(`${scheme} ${token}`), 200);
  for (const wrong of [
    token,
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token.toUpperCase()}`,
    'Bearer ',
    `Bearer ${token} x`,
  ]) {
    t.equal(await statusOf(wrong), 401, wrong);
  }
});

/** The plugin alone, with a token of each role. */
async function withReader(failures: string[]) {
  const app = fastify();
  await app.register(requestEnd);
  await app.register(logging);
  await app.register(errorHandler);
  await app.register(rateLimits, { requestsPerSecond: 1000 });
  await app.register(auth, {
    tokens: new Tokens([
      { token: Buffer.from('operator-token'), role: 'operator' },
      { token: Buffer.from('reader-token'), role: 'reader' },
    ]),
    onFailure: (fingerprint, { ip }) => failures.push(`${fingerprint} ${ip}`),
  });
  app.get('/look', { config: { access: 'read' } }, async () => 'seen');
  app.post('/change', async () => 'changed');
  const call = async (bearer: string | undefined, more: InjectOptions) =>
    app.inject({ ...more, headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } });
  return { app, call };
}

t.test('a reader can read and cannot change anything', async (t) => {
  const { app, call } = await withReader([]);
  t.teardown(() => app.close());
  t.equal((await call('reader-token', { url: '/look' })).statusCode, 200);
  t.match((await call('reader-token', { method: 'POST', url: '/change' })).json(), { status: 403, code: 'FORBIDDEN' });
  t.equal((await call('reader-token', { method: 'POST', url: '/nowhere' })).statusCode, 404);
  t.equal((await call('operator-token', { method: 'POST', url: '/change' })).statusCode, 200);
});

t.test(
  'beyond ten failures a second and address, wrong tokens are refused without an entry or a log line',
  async (t) => {
    const failures: string[] = [];
    const { app, call } = await withReader(failures);
    t.teardown(() => app.close());
    const guess = () => call('guess', { url: '/look', remoteAddress: '10.1.1.1' });
    const answers = await Promise.all(Array.from({ length: 15 }, guess));
    const codes = answers.map((answer) => answer.json().code);
    t.equal(codes.filter((code) => code === 'AUTH_FAILED').length, 10);
    t.equal(codes.filter((code) => code === 'RATE_LIMITED').length, 5);
    t.match(answers.at(-1)?.headers, { 'retry-after': '1' });
    t.equal(failures.length, 10, 'failures beyond the limit are not reported');
    t.equal(new Set(failures).size, 1, 'one token has one fingerprint');
    t.match(failures[0], /^[0-9a-f]{16} 10\.1\.1\.1$/);
    t.notMatch(failures.join(), /guess/);
    t.equal((await call(undefined, { url: '/look', remoteAddress: '10.2.2.2' })).json().code, 'AUTH_FAILED');
    t.equal(failures.at(-1), 'none 10.2.2.2', 'another address has its own count');
    t.equal((await call('reader-token', { url: '/look', remoteAddress: '10.1.1.1' })).statusCode, 200);
  },
);

t.test('a valid token passes among any number of wrong ones from its address', async (t) => {
  const lines: string[] = [];
  const { app, inject } = await startWorker(t, { log: (line) => lines.push(line) });
  for (let n = 0; n < 300; n += 1) {
    const authorization = `Bearer wrong-${n}`;
    const { statusCode } = await app.inject({ url: '/v1/devices', headers: { authorization } });
    t.ok([401, 429].includes(statusCode));
    if (n % 10 === 0) t.equal((await inject({ url: '/v1/devices' })).statusCode, 200);
  }
  const refused = lines.filter((line) => line.includes('"RATE_LIMITED"'));
  t.same(refused, [], 'a refusal over the limit is not logged');
});

t.test('addresses of one IPv6 network share a limit', async (t) => {
  const { app, call } = await withReader([]);
  t.teardown(() => app.close());
  const codes: string[] = [];
  for (let n = 0; n < 12; n += 1) {
    codes.push((await call('guess', { url: '/look', remoteAddress: `2001:db8:0:7::${n}` })).json().code);
  }
  t.ok(codes.includes('RATE_LIMITED'));
  t.equal((await call('guess', { url: '/look', remoteAddress: '2001:db8:0:8::1' })).json().code, 'AUTH_FAILED');
});

t.test('with the read token, every route that changes something is forbidden', async (t) => {
  const reader = 'reader-token-0123456789abcdef0123456789';
  const file = join(t.testdir({}), 'reader');
  writeFileSync(file, reader, { mode: 0o600 });
  const { app } = await startWorker(t, { env: { WORKER_READ_TOKEN_FILE: file } });
  const ask = (options: InjectOptions) =>
    app.inject({ ...options, headers: { ...options.headers, authorization: `Bearer ${reader}` } });
  const plan = { model_ref: 'm', model_bytes: 5, shard_layout: 'single' };
  t.equal((await ask({ method: 'POST', url: '/v1/plan', payload: plan })).statusCode, 200);
  for (const url of ['/v1/devices', '/v1/shards']) t.equal((await ask({ url })).statusCode, 200, url);
  t.equal((await ask({ url: '/v1/ready' })).statusCode, 503, 'the worker has no shards');
  const refused: readonly InjectOptions[] = [
    { method: 'POST', url: '/v1/plan', payload: { ...plan, reserve: true } },
    { method: 'PUT', url: '/v1/commit?shard_id=a&model_ref=m', payload: 'x' },
    { method: 'POST', url: '/v1/commit', payload: {} },
    { method: 'DELETE', url: '/v1/shards/a' },
    { method: 'POST', url: '/v1/shards/a/verify' },
    {
      method: 'POST',
      url: '/v1/commit?shard_id=a&model_ref=m',
      headers: { 'content-type': 'application/octet-stream' },
    },
    { method: 'POST', url: '/v1/reservations/a/renew' },
    { method: 'DELETE', url: '/v1/reservations/a' },
  ];
  for (const options of refused) {
    t.match((await ask(options)).json(), { status: 403, code: 'FORBIDDEN' }, `${options.method} ${options.url}`);
  }

  // Every other operation in the document refuses this token, including future ones.
  const gets = ['GET /v1/ready', 'GET /v1/devices', 'GET /v1/shards', 'GET /v1/shards/{shard_id}', 'GET /v1/overview'];
  const leases = ['GET /v1/leases', 'GET /v1/shards/{shard_id}/leases'];
  const pulls = ['GET /v1/pulls', 'GET /v1/pulls/{pull_id}', 'GET /v1/pulls/{pull_id}/events'];
  const uploads = ['OPTIONS /v1/uploads', 'HEAD /v1/uploads/{upload_id}', 'GET /v1/uploads/{upload_id}'];
  const looking = ['POST /v1/plan', ...gets, ...leases, ...pulls, ...uploads];
  const { paths } = (await app.inject('/openapi.json')).json();
  const routes = Object.entries<object>(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => ({ method: method.toUpperCase(), path })),
  );
  const closed = routes.filter(({ method, path }) => path.startsWith('/v1/') && !looking.includes(`${method} ${path}`));
  t.equal(closed.length, 14, closed.map(({ method, path }) => `${method} ${path}`).join(', '));
  for (const { method, path } of closed) {
    const url = path.replaceAll(/\{\w+\}/g, 'a');
    const { statusCode } = await ask({ method: method as 'GET', url });
    t.equal(statusCode, 403, `${method} ${path}`);
  }
  for (const route of looking) {
    const [method, path = ''] = route.split(' ');
    const { statusCode } = await ask({ method: method as 'GET', url: path.replaceAll(/\{\w+\}/g, 'a') });
    t.not(statusCode, 403, route);
  }
});
