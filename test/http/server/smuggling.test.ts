import t from 'tap';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const upload = 'PUT /v1/commit?shard_id=a&model_ref=m&vram_bytes=3';
const chunks = '3\r\nabc\r\n0\r\n\r\n';

t.test('a transfer coding other than chunked is refused', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true });
  for (const [target, coding] of [
    [upload, 'gzip, chunked'],
    [upload, 'identity, chunked'],
    [upload, 'chunked, chunked'],
    ['POST /v1/plan', 'gzip, chunked'],
  ] as const) {
    const headers = { 'Transfer-Encoding': coding, 'Content-Type': target === upload ? undefined : 'application/json' };
    const client = new RawClient(url).send(head(target, headers)).send(chunks);
    const heard = await client.whole();
    t.match(heard, /^HTTP\/1.1 400 .*application\/problem\+json/s, coding);
    t.equal(lastBody(heard).code, 'INVALID_PARAMS');
  }
  t.same((await inject({ url: '/v1/shards' })).json().shards, [], 'no shard remains');
});

t.test('invalid HTTP gets a problem response, and the connection closes', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  for (const [name, text] of [
    ['a length and chunks', head(upload, { 'Content-Length': 3, 'Transfer-Encoding': 'chunked' })],
    ['two lengths', `${upload} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`],
    ['an invalid length', head(upload, { 'Content-Length': '3x' })],
    ['a length that is too large', head(upload, { 'Content-Length': '99999999999999999999999' })],
    ['a header with a space', 'GET /livez HTTP/1.1\r\nHo st: a\r\n\r\n'],
    ['a head that is too large', head('GET /livez', { Padding: 'x'.repeat(20_000) })],
    ['not HTTP', '\x16\x03\x01 hello\r\n\r\n'],
    ['no host', 'GET /livez HTTP/1.1\r\n\r\n'],
  ] as const) {
    const client = new RawClient(url).send(text);
    const heard = await client.until(/\}$/);
    t.match(heard, /^HTTP\/1.1 400 .*application\/problem\+json/s, name);
    t.equal(lastBody(heard).code, 'INVALID_PARAMS');
    await client.leave();
  }
});

t.test('an invalid chunk aborts the upload, and no shard remains', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true });
  const client = new RawClient(url).send(head(upload, { 'Transfer-Encoding': 'chunked' }));
  client.send('1\r\na\r\n').send('zz\r\n');
  await client.closed;
  t.notMatch(client.heard, / 201 /);
  await until(async () => (await inject({ url: '/v1/shards' })).json().shards.length === 0);
  t.pass('the shard is gone');
});

t.test('requests pipelined behind a refused one are dropped', async (t) => {
  const { url } = await startWorker(t, { listen: true });
  const client = new RawClient(url)
    .send(head('POST /v1/plan', { 'Content-Length': 10, Authorization: undefined }))
    .send(`0123456789${head('GET /livez')}`);
  const heard = await client.whole();
  t.equal(heard.match(/HTTP\/1\.1 \d/g)?.length, 1);
});

t.test('invalid bytes behind a commit are answered after the commit', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true });
  const bytes = Buffer.alloc(500_000, 1);
  const client = new RawClient(url)
    .send(head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': bytes.length }))
    .send(bytes)
    .send('NO HTTP AT ALL\r\n\r\n');
  const statuses = (await client.whole()).match(/(?<=HTTP\/1\.1 )(?!102)\d+/g);
  t.same(statuses, ['201', '400']);
  t.equal((await inject({ url: '/v1/shards/a' })).json().state, 'sealed');
});
