import t from 'tap';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { startWorker } from '../../support/worker.js';

const mebibyte = 2 ** 20;
const block = new Uint8Array(mebibyte);

t.test('a client that does not wait reads why it is refused, every time', async (t) => {
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
      // The limit of failed tokens of one address would answer otherwise: it is not what is asked here.
      if (code === 'AUTH_FAILED') await new Promise((resolve) => setTimeout(resolve, 110));
      const client = new RawClient(url).send(head(target, { 'Content-Length': size, ...headers }));
      await client.flood(block, size);
      const heard = await client.whole();
      t.equal(lastBody(heard).code, code, `${code}, round ${round}`);
    }
  }
});

t.test('a hostile body is not read to its end', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  for (const target of ['PUT /v1/commit?shard_id=a&model_ref=m', 'POST /v1/plan', 'GET /v1/devices']) {
    const size = 500 * mebibyte;
    const client = new RawClient(url).send(head(target, { 'Content-Length': size, Authorization: undefined }));
    await client.flood(block, size);
    t.equal(lastBody(await client.whole()).code, 'AUTH_FAILED');
    t.ok(client.sentBytes < 128 * mebibyte, `${target}: ${client.sentBytes} bytes were taken`);
  }
});

t.test('a sender that goes silent is let go', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const client = new RawClient(url).send(head('PUT /v1/nowhere', { 'Content-Length': mebibyte })).send('a little');
  t.equal(lastBody(await client.whole()).code, 'NOT_FOUND');
});
