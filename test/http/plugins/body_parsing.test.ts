import t from 'tap';
import { collectGarbage } from '../../support/alive.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const types = ['application/x-www-form-urlencoded', 'text/plain', 'application/json', 'application/octet-stream', 'x'];

/** The ways to send no body: without a length, with length 0, and as an empty chunked body. */
const empty: readonly (readonly [name: string, headers: Record<string, string>, body: string])[] = [
  ['no length', {}, ''],
  ['length 0', { 'Content-Length': '0' }, ''],
  ['chunked', { 'Transfer-Encoding': 'chunked' }, '0\r\n\r\n'],
];

async function send(url: string, target: string, headers: Record<string, string>, body: string): Promise<string> {
  const client = new RawClient(url).send(head(target, headers)).send(body);
  const heard = await client.until(/\r\n\r\n(?:$|\{.*\}$)/s);
  await client.leave();
  return heard;
}

async function startWithReservation(
  t: Parameters<typeof startWorker>[0],
): Promise<TestWorker & { id: () => Promise<string> }> {
  const worker = await startWorker(t, { listen: true });
  const plan = { model_ref: 'm', model_bytes: 5, shard_layout: 'single', reserve: true };
  return { ...worker, id: async () => (await post(worker, '/v1/plan', plan)).json().reservation.reservation_id };
}

t.test('a request without a body may name any content type', async (t) => {
  const worker = await startWithReservation(t);
  const { url } = worker;
  const id = await worker.id();
  for (const type of types) {
    for (const [name, headers, body] of empty) {
      const all = { ...headers, 'Content-Type': type };
      await upload(worker, 'a', Buffer.from('x'));
      t.match(await send(url, 'POST /v1/shards/a/verify', all, body), / 200 OK/, `verify, ${type}, ${name}`);
      t.match(await send(url, `POST /v1/reservations/${id}/renew`, all, body), / 200 OK/, `renew, ${type}, ${name}`);
      t.match(await send(url, 'DELETE /v1/shards/a', all, body), / 204 /, `release, ${type}, ${name}`);
    }
  }
  t.match(
    await send(url, `DELETE /v1/reservations/${id}`, { 'Content-Type': 'x', 'Content-Length': '0' }, ''),
    / 204 /,
  );
});

t.test('a body of another type is refused with a hint, whether its length is known or not', async (t) => {
  const worker = await startWorker(t, { listen: true });
  await upload(worker, 'a', Buffer.from('x'));
  const sized = { 'Content-Length': '3' };
  const chunked = { 'Transfer-Encoding': 'chunked' };
  for (const [headers, body] of [
    [sized, 'a=1'],
    [chunked, '3\r\na=1\r\n0\r\n\r\n'],
  ] as const) {
    const form = { ...headers, 'Content-Type': 'application/x-www-form-urlencoded' };
    const verify = await send(worker.url, 'POST /v1/shards/a/verify', form, body);
    t.match(lastBody(verify), { status: 415, detail: /send application\/json, or no body/ });
    const release = await send(worker.url, 'DELETE /v1/shards/a', form, body);
    t.match(lastBody(release), { status: 400, detail: 'The body is not allowed on this route' });
    const plan = await send(worker.url, 'POST /v1/plan', form, body);
    t.match(lastBody(plan), { status: 415, detail: /send application\/json$/ });
    const json = { ...headers, 'Content-Type': 'application/json' };
    t.match(lastBody(await send(worker.url, 'DELETE /v1/shards/a', json, body)).status, 400);
  }
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204, 'it was not released before');
});

t.test('a plan without a body is a 400, with any content type', async (t) => {
  const { inject } = await startWorker(t);
  for (const type of types) {
    const answer = await inject({ method: 'POST', url: '/v1/plan', headers: { 'content-type': type } });
    t.match(answer.json(), { status: 400, code: 'INVALID_PARAMS' }, type);
  }
});

t.test('the body of a GET is refused before it waits, unless it is empty', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const tag = String((await get(worker, '/v1/overview')).headers.etag);
  const headers = { 'Transfer-Encoding': 'chunked', 'If-None-Match': tag };
  const some = await send(worker.url, 'GET /v1/overview?wait_seconds=30', headers, '1\r\nx\r\n0\r\n\r\n');
  t.match(lastBody(some), { status: 400, detail: 'The body is not allowed on this route' });
  const none = await send(worker.url, 'GET /v1/overview', headers, '0\r\n\r\n');
  t.match(none, /^HTTP\/1.1 (?:200|304) /);
  const expecting = { 'Transfer-Encoding': 'chunked', Expect: '100-continue' };
  const client = new RawClient(worker.url).send(head('GET /v1/overview', expecting));
  await client.until(/^HTTP\/1.1 100 Continue\r\n\r\n/);
  t.match(await client.send('0\r\n\r\n').until(/ 200 OK\r\n/), / 200 OK/);
  await client.leave();
});

t.test('JSON with a byte order mark is accepted', async (t) => {
  const { inject } = await startWorker(t);
  const plan = JSON.stringify({ model_ref: 'm', model_bytes: 5, shard_layout: 'single' });
  const headers = { 'content-type': 'application/json' };
  const answer = await inject({ method: 'POST', url: '/v1/plan', headers, payload: `\u{feff}${plan}` });
  t.match(answer.json(), { feasible: true });
});

t.test('incomplete JSON bodies of one token are limited in total', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true });
  const headers = { 'Content-Type': 'application/json', 'Content-Length': mebibyte };
  const part = Buffer.alloc(mebibyte - 1, ' ');
  const clients = Array.from({ length: 66 }, () => new RawClient(url).send(head('POST /v1/plan', headers)).send(part));
  const refused = await Promise.any(clients.map((client) => client.until(/\}$/)));
  t.match(lastBody(refused), { status: 429, code: 'RATE_LIMITED', retriable: true });
  const plan = { model_ref: 'm', model_bytes: 5, shard_layout: 'single' };
  t.equal((await inject({ method: 'POST', url: '/v1/plan', payload: plan })).statusCode, 200, 'a small body passes');
  await Promise.all(clients.map((client) => client.leave()));
});

t.test('a JSON body in chunks of one byte takes no more memory than its bytes', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const usedMegabytes = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const before = usedMegabytes();
  const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' };
  const chunks = Buffer.from('1\r\n \r\n'.repeat(10_000));
  const client = new RawClient(url).send(head('POST /v1/plan', headers));
  await client.flood(chunks, 100 * chunks.length);
  await until(() => client.sentBytes >= 100 * chunks.length);
  const after = usedMegabytes();
  t.ok(after - before < 20, `${before.toFixed(0)} to ${after.toFixed(0)} MB for less than 1 MiB`);
  const plan = JSON.stringify({ model_ref: 'm', model_bytes: 5, shard_layout: 'single' });
  client.send(`${plan.length.toString(16)}\r\n${plan}\r\n0\r\n\r\n`);
  t.match(lastBody(await client.until(/\}$/)), { feasible: true });
  await client.leave();
});
