import { createHash } from 'node:crypto';
import type { InjectOptions } from 'fastify';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { get, sha256 } from '../../support/requests.js';
import { lastDevice, onSimulator, simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(100_000);
const query = { shard_id: 'llama-0', model_ref: 'hf:org/name@rev' };
const base64 = createHash('sha256').update(bytes).digest('base64');

t.test('PUT needs no content type, POST needs application/octet-stream', async (t) => {
  const { inject } = await startWorker(t);
  const put = await inject({ method: 'PUT', url: '/v1/commit', query, payload: bytes });
  t.equal(put.statusCode, 201);
  t.equal(put.headers.location, '/v1/shards/llama-0');
  t.match(put.json(), {
    handle: /^[\w-]+\.[\w-]+\.[\w-]+$/,
    shard: {
      shard_id: 'llama-0',
      model_ref: 'hf:org/name@rev',
      shard_index: 0,
      total_shards: 1,
      vram_bytes: bytes.length,
      received_bytes: bytes.length,
      digest: sha256(bytes),
      state: 'sealed',
      sealed: true,
      sealed_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
      driver: 'simulated',
      simulated: true,
    },
  });
  const type = { 'content-type': 'application/octet-stream' };
  const more = { ...query, shard_id: 'b', shard_index: '1', total_shards: '2', gpu_device: String(lastDevice) };
  const post = await inject({ method: 'POST', url: '/v1/commit', query: more, payload: bytes, headers: type });
  t.equal(post.statusCode, 201);
  t.match(post.json().shard, { shard_index: 1, total_shards: 2, gpu_device: lastDevice });
});

t.test('a retry with an expected digest is answered without its body', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true });
  const first = await inject({ method: 'PUT', url: '/v1/commit', query, payload: bytes });
  const again = `PUT /v1/commit?shard_id=llama-0&model_ref=hf:org/name@rev&expected_digest=${sha256(bytes)}`;
  const client = new RawClient(url).send(head(again, { 'Content-Length': bytes.length, Expect: '100-continue' }));
  const heard = await client.until(/\}\}$/);
  t.match(heard, /^HTTP\/1.1 200 OK/);
  t.equal((lastBody(heard) as { handle?: string }).handle, first.json().handle);
  await client.leave();
});

t.test('a client gets the refusal of the driver before it sends its bytes', onSimulator, async (t) => {
  const { url } = await startWorker(t, { listen: true });
  t.teardown(() => simulator.reset());
  const put = (id: string, more: Record<string, string>) =>
    new RawClient(url).send(head(`PUT /v1/commit?shard_id=${id}&model_ref=m`, { 'Content-Length': 5, ...more }));
  simulator.faults('cuMemCreate:1+=2');
  const waiting = put('a', { Expect: '100-continue' });
  t.match(await waiting.until(/\}$/), /^HTTP\/1.1 507 /);
  const sending = put('b', {});
  const heard = await sending.until(/\}$/);
  t.match(heard, /^HTTP\/1.1 507 /);
  t.match(lastBody(heard), { code: 'VRAM_OOM', needed_bytes: 2 * 1024 * 1024 });
  simulator.reset();
  const sent = put('c', {}).send('bytes');
  t.match(await sent.until(/\}\}$/), /^HTTP\/1.1 201 /);
  for (const client of [waiting, sending, sent]) await client.leave();
});

t.test('chunked transfer needs its length in the query, and must match it', async (t) => {
  const { url, inject } = await startWorker(t, { listen: true });
  const send = async (vramBytes: number, chunks: string) => {
    const target = `PUT /v1/commit?shard_id=c&model_ref=m&vram_bytes=${vramBytes}`;
    const client = new RawClient(url).send(head(target, { 'Transfer-Encoding': 'chunked' })).send(chunks);
    const heard = await client.until(/\}$/);
    await client.leave();
    return { status: Number(heard.slice(9, 12)), body: lastBody(heard) };
  };
  t.match(await send(4, '3\r\nabc\r\n0\r\n\r\n'), { status: 422, body: { code: 'LENGTH_MISMATCH' } }, 'too short');
  t.match(await send(2, '3\r\nabc\r\n0\r\n\r\n'), { status: 422, body: { code: 'LENGTH_MISMATCH' } }, 'too long');
  t.same((await get({ inject } as never, '/v1/shards')).json().shards, [], 'no shard remains');
  t.match(await send(3, '1\r\na\r\n2\r\nbc\r\n0\r\n\r\n'), { status: 201 });
});

t.test('Repr-Digest counts as the expected digest', async (t) => {
  const { inject } = await startWorker(t);
  const put = (shardId: string, header: string, more: Record<string, string> = {}) =>
    inject({
      method: 'PUT',
      url: '/v1/commit',
      query: { ...query, shard_id: shardId, ...more },
      payload: bytes,
      headers: { 'repr-digest': header },
    });
  t.equal((await put('a', `sha-256=:${base64}:`)).statusCode, 201);
  t.equal(
    (await put('b', `sha-256=:${base64}:`, { expected_digest: sha256(bytes).slice(7).toUpperCase() })).statusCode,
    201,
  );
  const other = createHash('sha256').update('other').digest('base64');
  t.equal((await put('c', `sha-256=:${other}:`)).json().code, 'DIGEST_MISMATCH');
  const differs = await put('d', `sha-256=:${base64}:`, { expected_digest: '0'.repeat(64) });
  t.match(differs.json(), { code: 'INVALID_PARAMS', detail: /differ/ });
  t.equal((await put('e', 'sha-256=nonsense')).json().code, 'INVALID_PARAMS');
});

t.test('conflicting or invalid fields are refused', async (t) => {
  const { inject } = await startWorker(t);
  const rows: readonly (readonly [code: string, query: Record<string, string | string[]>, more?: InjectOptions])[] = [
    ['INVALID_PARAMS', { vram_bytes: '99999' }],
    ['INVALID_PARAMS', { flat_digest: 'false' }],
    ['INVALID_PARAMS', { flat_digest: 'no', expected_tree_digest: '0'.repeat(64) }],
    ['INVALID_PARAMS', { shard_index: '1' }],
    ['INVALID_PARAMS', { shard_index: '-1' }],
    ['INVALID_PARAMS', { total_shards: '0' }],
    ['INVALID_PARAMS', { total_shards: '1025' }],
    ['INVALID_PARAMS', { gpu_device: '1.0' }],
    ['INVALID_PARAMS', { gpu_device: '01' }],
    ['INVALID_PARAMS', { gpu_device: '7' }],
    ['INVALID_PARAMS', { expected_digest: 'abc' }],
    ['INVALID_PARAMS', { expected_digest: `md5:${'0'.repeat(64)}` }],
    ['INVALID_PARAMS', { expected_digets: '0'.repeat(64) }],
    ['INVALID_PARAMS', { shard_id: '../etc' }],
    ['INVALID_PARAMS', { shard_id: '' }],
    ['INVALID_PARAMS', { shard_id: ['a', 'b'] }],
    ['INVALID_PARAMS', { model_ref: 'a\0b' }],
    ['INVALID_PARAMS', { model_ref: 'x'.repeat(513) }],
    ['INVALID_PARAMS', {}, { headers: { 'content-length': '0' } }],
    ['INVALID_PARAMS', {}, { headers: { 'content-length': '9007199254740992' } }],
    ['UNSUPPORTED_MEDIA_TYPE', {}, { headers: { 'content-type': 'application/json' } }],
    ['UNSUPPORTED_MEDIA_TYPE', {}, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['UNSUPPORTED_MEDIA_TYPE', {}, { headers: { 'content-encoding': 'identity' } }],
    ['INVALID_PARAMS', {}, { headers: { 'content-range': 'bytes 0-9/20' } }],
    ['UNSUPPORTED_MEDIA_TYPE', {}, { method: 'POST' }],
  ];
  for (const [code, more, request] of rows) {
    const answer = await inject({
      method: 'PUT',
      url: '/v1/commit',
      query: { ...query, ...more },
      payload: bytes,
      ...request,
    });
    t.equal(answer.json().code, code, JSON.stringify([more, request]));
  }
  t.same((await inject({ url: '/v1/shards' })).json().shards, []);
});
