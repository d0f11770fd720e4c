import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { startWorker } from '../../support/worker.js';

const mebibyte = 2 ** 20;
const block = new Uint8Array(mebibyte);

t.test('a client that sends its body without waiting can read the error', async (t) => {
  const { url } = await startWorker(t, { listen: true, env: { WORKER_MAX_MODEL_BYTES: String(mebibyte) } });
  const size = 30 * mebibyte;
  for (const [code, target, headers] of [
    ['AUTH_FAILED', 'PUT /v1/commit?shard_id=a&model_ref=m', { Authorization: 'Bearer wrong' }],
    ['MODEL_TOO_LARGE', 'PUT /v1/commit?shard_id=a&model_ref=m', {}],
    ['INVALID_PARAMS', 'POST /v1/plan', { 'Content-Type': 'application/json' }],
    ['NOT_FOUND', 'POST /nowhere', {}],
    ['INVALID_PARAMS', 'PUT /%zz', {}],
  ] as const) {
    for (let round = 0; round < 20; round += 1) {
      // Stays below the limit of failed authentications.
      if (code === 'AUTH_FAILED') await sleep(110);
      const client = new RawClient(url).send(head(target, { 'Content-Length': size, ...headers }));
      await client.flood(block, size);
      const heard = await client.whole();
      t.equal(lastBody(heard).code, code, `${code}, round ${round}`);
    }
  }
});

t.test('only part of a huge refused body is read', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  for (const target of ['PUT /v1/commit?shard_id=a&model_ref=m', 'POST /v1/plan', 'GET /v1/devices']) {
    const size = 500 * mebibyte;
    const client = new RawClient(url).send(head(target, { 'Content-Length': size, Authorization: undefined }));
    await client.flood(block, size);
    t.equal(lastBody(await client.whole()).code, 'AUTH_FAILED');
    t.ok(client.sentBytes < 128 * mebibyte, `${target}: ${client.sentBytes} bytes were taken`);
  }
});

t.test('a client that stops sending a refused body is disconnected', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const client = new RawClient(url).send(head('PUT /v1/nowhere', { 'Content-Length': mebibyte })).send('a little');
  t.equal(lastBody(await client.whole()).code, 'NOT_FOUND');
});
