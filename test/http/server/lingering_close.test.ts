import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { startWorker } from '../../support/worker.js';

const mebibyte = 2 ** 20;
const block = new Uint8Array(mebibyte);

t.test('a client that sends its body without waiting can read the error', async (t) => {
  const { url } = await startWorker(t, { listen: true, env: { WORKER_MAX_MODEL_BYTES: String(mebibyte) } });
  const size = 12 * mebibyte;
  for (const [code, target, headers] of [
    ['AUTH_FAILED', 'PUT /v1/commit?shard_id=a&model_ref=m', { Authorization: 'Bearer wrong' }],
    ['MODEL_TOO_LARGE', 'PUT /v1/commit?shard_id=a&model_ref=m', {}],
    ['INVALID_PARAMS', 'POST /v1/plan', { 'Content-Type': 'application/json' }],
    ['NOT_FOUND', 'POST /nowhere', {}],
    ['INVALID_PARAMS', 'PUT /%zz', {}],
  ] as const) {
    for (let round = 0; round < 4; round += 1) {
      // Stays below the limit of failed authentications.
      if (code === 'AUTH_FAILED') await sleep(110);
      const client = new RawClient(url).send(head(target, { 'Content-Length': size, ...headers }));
      await client.flood(block, size);
      const heard = await client.whole();
      t.equal(lastBody(heard).code, code, `${code}, round ${round}`);
    }
  }
});

t.test('a refused body is read as long as its sender keeps sending', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const size = 100 * mebibyte;
  const client = new RawClient(url).send(head('POST /v1/plan', { 'Content-Length': size, Authorization: undefined }));
  await client.flood(block, size);
  t.equal(lastBody(await client.whole()).code, 'AUTH_FAILED');
  t.ok(client.sentBytes >= size);
});

t.test('a client that stops sending a refused body is disconnected', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const client = new RawClient(url).send(head('PUT /v1/nowhere', { 'Content-Length': mebibyte })).send('a little');
  t.equal(lastBody(await client.whole()).code, 'NOT_FOUND');
});

t.test('refused bodies of one address do not keep out another address', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const target = head('PUT /v1/nowhere', { 'Content-Length': 2 ** 40 });
  const floods = Array.from({ length: 40 }, () => new RawClient(url).send(target));
  for (const client of floods) void client.flood(block, 2 ** 40);
  await Promise.all(floods.map((client) => client.until(/NOT_FOUND/)));
  const size = 4 * mebibyte;
  const other = new RawClient(url, { localAddress: '127.0.0.2' });
  other.send(head('PUT /v1/nowhere', { 'Content-Length': size }));
  await other.flood(block, size);
  t.equal(lastBody(await other.whole()).code, 'NOT_FOUND');
  t.equal(floods.filter((client) => client.gone).length, 1, 'one of its bodies made room');
  await Promise.all(floods.map((client) => client.leave()));
});
