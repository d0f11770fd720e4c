import { once } from 'node:events';
import { request as plain } from 'node:http';
import { type RequestOptions, request as secure } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

interface Visit {
  readonly method: string;
  readonly path: string;
  readonly authorization?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** Sends one request. Resolves with the head and the body of its answer. */
async function call(url: string, { method, path, authorization, headers, body }: Visit, tls: RequestOptions) {
  const options = { ...tls, method, headers: { ...headers, ...(authorization ? { authorization } : {}) } };
  const request = url.startsWith('https:') ? secure : plain;
  const sending = request(url + path, options);
  sending.end(body);
  const [answer] = await once(sending, 'response');
  const chunks: Buffer[] = await answer.toArray();
  return Buffer.concat([Buffer.from(`${answer.statusCode} ${answer.rawHeaders.join('\n')}\n\n`), ...chunks]);
}

/** Sends text that is not HTTP. Resolves with the answer. */
async function sendInvalid(url: string, text: string, tls: RequestOptions): Promise<Buffer> {
  const to = { port: Number(new URL(url).port), host: '127.0.0.1' };
  const socket = url.startsWith('https:') ? connectTls({ ...to, ...(tls.ca ? { ca: tls.ca } : {}) }) : connect(to);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.end(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks);
}

const json = { 'content-type': 'application/json' };
const post = (path: string, value: unknown): Visit => ({
  method: 'POST',
  path,
  headers: json,
  body: typeof value === 'string' ? value : JSON.stringify(value),
});

/** Valid and invalid requests to every route. `secrets` are in fields that must not hold secrets. */
function visits(secrets: readonly string[]): Visit[] {
  const get = (path: string): Visit => ({ method: 'GET', path });
  const put = (query: string, body: string | Buffer = 'bytes'): Visit => ({
    method: 'PUT',
    path: `/v1/commit?${query}`,
    body,
  });
  const plan = { model_ref: 'm', model_bytes: 5, shard_layout: 'single' };
  const source = { type: 'file', path: 'none.gguf' };
  return [
    ...['/livez', '/readyz', '/metrics', '/docs/', '/openapi.json', '/.well-known/jwks.json', '/nowhere', '/%zz'].map(
      get,
    ),
    ...['/v1/devices', '/v1/shards', '/v1/shards?limit=0', '/v1/shards/a', '/v1/shards/none', '/v1/nowhere'].map(get),
    ...['', '?nonce=n', '?max_age_seconds=1', '?handles=false', '?typo=1'].map((query) => get(`/v1/ready${query}`)),
    put('shard_id=a&model_ref=m'),
    put('shard_id=a&model_ref=m', 'other bytes'),
    put('shard_id=b&model_ref=m', Buffer.alloc(3_000_000, 7)),
    put('shard_id=c&model_ref=m&expected_digest=00'),
    put(`shard_id=c&model_ref=m&expected_digest=${'0'.repeat(64)}`),
    put('shard_id=c&model_ref=m&reservation_id=none'),
    put('shard_id=c'),
    post('/v1/plan', plan),
    post('/v1/plan', { ...plan, reserve: true }),
    post('/v1/plan', { ...plan, model_bytes: 2 ** 50 }),
    post('/v1/commit', { shard_id: 'd', model_ref: 'm', source }),
    post('/v1/commit', { shard_id: 'd', model_ref: 'm', source: { ...source, path: '../../etc/passwd' } }),
    post('/v1/handles/verify', { handle: 'a.b.c' }),
    post('/v1/shards/a/verify', {}),
    post('/v1/reservations/none/renew', {}),
    { method: 'DELETE', path: '/v1/reservations/none' },
    ...secrets.flatMap((secret) => [
      post('/v1/plan', { ...plan, tp_degree: secret }),
      post('/v1/plan', `{"model_ref": "${secret}`),
      post('/v1/plan', { model_ref: 'm', model_bytes: secret, shard_layout: secret }),
      post('/v1/handles/verify', { handle: secret }),
      post('/v1/commit', { shard_id: `${secret}!`, model_ref: 'm', source }),
      get(`/v1/shards/${secret}_`),
      get(`/v1/${secret}`),
      get(`/${secret}`),
      get(`/v1/shards?cursor=${secret}`),
      get(`/v1/ready?max_age_seconds=${secret}`),
      put(`shard_id=c&model_ref=m&gpu_device=${secret}`),
      { ...put('shard_id=c&model_ref=m'), headers: { 'repr-digest': `sha-256=:${secret}:` } },
      {
        ...get('/v1/devices'),
        headers: { 'x-token': secret, cookie: secret, 'user-agent': secret, 'x-correlation-id': `${secret} x` },
      },
    ]),
    { method: 'DELETE', path: '/v1/shards/none' },
    { method: 'DELETE', path: '/v1/shards/a' },
  ];
}

/** Sends every request with every token, valid and invalid. Returns all answers. */
export async function visitAll(
  url: string,
  { tokens, secrets, tls = {} }: { tokens: readonly string[]; secrets: readonly string[]; tls?: RequestOptions },
): Promise<Buffer> {
  const answers: Buffer[] = [];
  const open = tokens.map((token) => `Bearer ${token}`);
  const [token = ''] = tokens;
  for (const authorization of [undefined, ...open]) {
    for (const visit of visits(secrets)) {
      answers.push(await call(url, { ...visit, ...(authorization === undefined ? {} : { authorization }) }, tls));
    }
  }
  const wrong = [
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token} ${token}`,
    `Bearer ${token.toUpperCase()}`,
    token,
  ];
  for (const authorization of [...wrong, ...secrets.map((secret) => `Bearer ${secret}`)]) {
    answers.push(await call(url, { method: 'GET', path: '/v1/devices', authorization }, tls));
  }
  const head = `GET /v1/ready HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`;
  for (const rest of [
    'Content-Length: x\r\n\r\n',
    ': nameless\r\n\r\n',
    `X: ${'x'.repeat(70_000)}\r\n\r\n`,
    '\r\n\r\n\r\nGET',
  ]) {
    answers.push(await sendInvalid(url, head + rest, tls));
  }
  answers.push(await sendInvalid(url, `${token} ${token}\r\n\r\n`, tls));
  return Buffer.concat(answers);
}
