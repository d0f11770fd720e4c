import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { moreThanAnyDevice, withoutSizeLimit } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(5000);
const upload = 'PUT /v1/commit?shard_id=a&model_ref=m';
const waiting = { Expect: '100-continue', 'Content-Length': bytes.length };

t.test('an upload gets 100 Continue after it is admitted', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const client = new RawClient(url).send(head(upload, waiting));
  t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 100 Continue\r\n\r\n$/);
  client.send(bytes);
  t.match(await client.until(/"handle".*\}$/), /HTTP\/1.1 201 Created/);
  await client.leave();
});

t.test('a refused upload gets no 100 Continue', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true, env: withoutSizeLimit });
  await inject({ method: 'PUT', url: '/v1/commit?shard_id=here&model_ref=m', payload: bytes });
  const refused: readonly (readonly [
    code: string,
    target: string,
    headers: Record<string, string | number | undefined>,
  ])[] = [
    ['AUTH_FAILED', upload, { Authorization: 'Bearer wrong' }],
    ['UNSUPPORTED_MEDIA_TYPE', upload, { 'Content-Type': 'text/plain' }],
    ['UNSUPPORTED_MEDIA_TYPE', upload, { 'Content-Encoding': 'gzip' }],
    ['INVALID_PARAMS', `${upload}&typo=1`, {}],
    ['INVALID_PARAMS', upload, { 'Repr-Digest': 'sha-256=nonsense' }],
    ['LENGTH_REQUIRED', upload, { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' }],
    ['NOT_FOUND', `${upload}&reservation_id=absent`, {}],
    ['NOT_FOUND', 'PUT /v1/nowhere', {}],
    ['MODEL_TOO_LARGE', upload, { 'Content-Length': 2 ** 50 }],
    ['SHARD_CONFLICT', `PUT /v1/commit?shard_id=here&model_ref=other`, {}],
    ['VRAM_OOM', upload, { 'Content-Length': moreThanAnyDevice }],
  ];
  for (const [code, target, headers] of refused) {
    const client = new RawClient(url).send(head(target, { ...waiting, ...headers }));
    const heard = await client.until(/\}$/);
    t.notMatch(heard, /100 Continue/, code);
    t.match(heard, /connection: close/i, `${code} closes the connection`);
    t.equal(lastBody(heard).code, code);
    await client.leave();
  }
});

t.test('a JSON request gets 100 Continue', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const body = JSON.stringify({ handle: 'x' });
  const headers = { Expect: '100-continue', 'Content-Type': 'application/json', 'Content-Length': body.length };
  const client = new RawClient(url).send(head('POST /v1/handles/verify', headers));
  await client.until(/100 Continue\r\n\r\n/);
  client.send(body);
  t.match(await client.until(/\}$/), /HTTP\/1.1 200 OK/);
  await client.leave();
});

t.test('a refused JSON request gets no 100 Continue', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const headers = { Expect: '100-continue', 'Content-Type': 'application/json', 'Content-Length': 10 };
  for (const [code, more] of [
    ['AUTH_FAILED', { Authorization: undefined }],
    ['UNSUPPORTED_MEDIA_TYPE', { 'Content-Type': 'text/plain' }],
    ['INVALID_PARAMS', { 'Content-Length': 2 ** 21 }],
  ] as const) {
    const client = new RawClient(url).send(head('POST /v1/plan', { ...headers, ...more }));
    const heard = await client.until(/\}$/);
    t.notMatch(heard, /100 Continue/);
    t.equal(lastBody(heard).code, code);
    await client.leave();
  }
});

t.test('any other expectation is refused, after the token is checked', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  for (const [code, more] of [
    ['INVALID_PARAMS', {}],
    ['AUTH_FAILED', { Authorization: undefined }],
  ] as const) {
    const client = new RawClient(url).send(head('GET /v1/devices', { Expect: 'the-unexpected', ...more }));
    const heard = await client.until(/\}$/);
    t.match(heard, /application\/problem\+json/);
    t.equal(lastBody(heard).code, code);
    await client.leave();
  }
});
