import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { availableBytes, get, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { TusClient, tus, uploadOf } from '../../support/tus.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(1_300_000);
const query = { shard_id: 'a', model_ref: 'model' };
const oneSlot = { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '0' };
const partHead = { ...tus, 'Content-Type': 'application/offset+octet-stream' };

t.afterEach(() => simulator.reset());

t.test('an upload in several requests is sealed with the digests of its bytes', async (t) => {
  const worker = await startWorker(t);
  const client = new TusClient(worker);
  const created = await client.create(bytes.length, query);
  t.equal(created.statusCode, 201, created.body);
  t.match(created.headers, {
    'tus-resumable': '1.0.0',
    location: /^\/v1\/uploads\/[\w-]+$/,
    'upload-offset': '0',
    'upload-expires': / GMT$/,
    'cache-control': 'no-store',
  });
  const url = uploadOf(created);
  let offset = 0;
  for (const end of [1, 700_000, 1_048_577]) {
    const sent = await client.send(url, offset, bytes.subarray(offset, end));
    t.equal(sent.statusCode, 204, sent.body);
    t.equal(sent.headers['upload-offset'], String(end));
    offset = end;
    const found = await client.head(url);
    t.equal(found.statusCode, 200);
    t.match(found.headers, { 'upload-offset': String(end), 'upload-length': String(bytes.length) });
    t.match((await client.get(url)).json(), { code: 'SHARD_BUSY', detail: new RegExp(`${end} of ${bytes.length}`) });
  }
  const last = await client.send(url, offset, bytes.subarray(offset));
  t.equal(last.statusCode, 204, last.body);
  t.match(last.headers, { 'upload-offset': String(bytes.length), location: '/v1/shards/a' });
  const outcome = await client.get(url);
  t.equal(outcome.statusCode, 200);
  t.match(outcome.json(), { handle: /./, shard: { digest: sha256(bytes), tree_digest: referenceTreeDigest(bytes) } });
  t.match((await client.head(url)).headers, { 'upload-offset': String(bytes.length), location: '/v1/shards/a' });
  t.equal((await client.send(url, bytes.length, Buffer.alloc(0))).statusCode, 204, 'an empty end is a success');
  t.equal((await client.send(url, 0, bytes)).json().code, 'UPLOAD_OFFSET');
  t.equal((await client.end(url)).statusCode, 204);
  t.equal((await client.get(url)).statusCode, 404, 'the outcome is forgotten');
  t.equal((await get(worker, '/v1/shards/a')).json().sealed, true, 'the shard stays');
});

t.test('OPTIONS says what the worker supports', async (t) => {
  const worker = await startWorker(t);
  const answer = await worker.inject({ method: 'OPTIONS', url: '/v1/uploads' });
  t.equal(answer.statusCode, 204);
  t.match(answer.headers, {
    'tus-version': '1.0.0',
    'tus-extension': 'creation,creation-with-upload,expiration,termination',
    'tus-max-size': String(worker.config.maxModelBytes),
  });
});

t.test('the fields come in the query, in Upload-Metadata, or in both', async (t) => {
  const worker = await startWorker(t);
  const client = new TusClient(worker);
  const metadata = (fields: Record<string, string>) =>
    Object.entries(fields)
      .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
      .join(',');
  const create = (fields: Record<string, string>, inQuery: Record<string, string> = {}) =>
    client.create(bytes.length, inQuery, { headers: { 'upload-metadata': metadata(fields) } });
  const digest = sha256(bytes);
  const all = await create({ ...query, expected_digest: digest, shard_index: '1', total_shards: '2', filename: 'a.b' });
  t.equal(all.statusCode, 201, all.body);
  t.equal((await client.send(uploadOf(all), 0, bytes)).statusCode, 204);
  t.match((await client.get(uploadOf(all))).json().shard, { shard_index: 1, total_shards: 2, digest });
  t.equal((await create({ shard_id: 'b' }, { model_ref: 'model', shard_id: 'b' })).statusCode, 201);
  const refused: readonly (readonly [RegExp, Record<string, string>, Record<string, string>?])[] = [
    [/shard_id is missing/, { model_ref: 'model' }],
    [/model_ref is missing/, { shard_id: 'c' }],
    [/shard_id and Upload-Metadata differ/, { ...query }, { shard_id: 'c' }],
    [/^Upload-Metadata has an unknown field: "expected_digets"/, { ...query, expected_digets: '0'.repeat(64) }],
    [/^Upload-Metadata\.expected_digest must match/, { ...query, expected_digest: 'abc' }],
    [/^Upload-Metadata\.shard_index must be an integer/, { ...query, shard_index: '1e0' }],
    [/shard_index is too large/, { ...query, shard_index: '1' }],
  ];
  for (const [detail, fields, inQuery] of refused) {
    const answer = await create(fields, inQuery);
    t.match(answer.json(), { status: 400, code: 'INVALID_PARAMS', detail }, String(detail));
  }
  for (const header of ['shard_id', 'shard_id !', 'shard_id YQ== YQ==', 'shard_id YQ==,shard_id YQ==', 'a /w==', ',']) {
    const answer = await client.create(1, query, { headers: { 'upload-metadata': header } });
    t.match(answer.json(), { code: 'INVALID_PARAMS', detail: /^Upload-Metadata/ }, header);
  }
});

t.test('a request that breaks a rule of tus is refused', async (t) => {
  const worker = await startWorker(t);
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(bytes.length, query));
  const type = 'application/offset+octet-stream';
  const rows: readonly (readonly [string, string, string, Record<string, string>, Buffer?])[] = [
    ['TUS_VERSION_UNSUPPORTED', 'POST', '/v1/uploads', { 'upload-length': '1' }],
    ['TUS_VERSION_UNSUPPORTED', 'PATCH', url, { 'tus-resumable': '0.2.2', 'upload-offset': '0', 'content-type': type }],
    ['LENGTH_REQUIRED', 'POST', '/v1/uploads', tus],
    ['LENGTH_REQUIRED', 'POST', '/v1/uploads', { ...tus, 'upload-defer-length': '1' }],
    ['INVALID_PARAMS', 'POST', '/v1/uploads', { ...tus, 'upload-length': '0' }],
    ['INVALID_PARAMS', 'POST', '/v1/uploads', { ...tus, 'upload-length': '1e3' }],
    ['INVALID_PARAMS', 'POST', '/v1/uploads', { ...tus, 'upload-length': '-1' }],
    ['MODEL_TOO_LARGE', 'POST', '/v1/uploads', { ...tus, 'upload-length': String(2 ** 40) }],
    ['SHARD_BUSY', 'POST', '/v1/uploads', { ...tus, 'upload-length': '7' }],
    [
      'UNSUPPORTED_MEDIA_TYPE',
      'POST',
      '/v1/uploads',
      { ...tus, 'upload-length': '7', 'content-type': 'text/plain' },
      bytes,
    ],
    ['UNSUPPORTED_MEDIA_TYPE', 'PATCH', url, { ...tus, 'upload-offset': '0' }, bytes],
    ['INVALID_PARAMS', 'PATCH', url, { ...tus, 'content-type': type }, bytes],
    ['INVALID_PARAMS', 'PATCH', url, { ...tus, 'content-type': type, 'upload-offset': '+1' }, bytes],
    ['UPLOAD_OFFSET', 'PATCH', url, { ...tus, 'content-type': type, 'upload-offset': '1' }, bytes],
    [
      'LENGTH_MISMATCH',
      'PATCH',
      url,
      { ...tus, 'content-type': type, 'upload-offset': '0' },
      Buffer.concat([bytes, bytes]),
    ],
    ['NOT_FOUND', 'PATCH', '/v1/uploads/none', { ...tus, 'content-type': type, 'upload-offset': '0' }, bytes],
    ['NOT_FOUND', 'DELETE', '/v1/uploads/none', tus],
    ['NOT_FOUND', 'GET', '/v1/uploads/none', {}],
    ['INVALID_PARAMS', 'POST', url, { ...tus, 'content-type': type, 'upload-offset': '0' }, bytes],
  ];
  for (const [code, method, target, headers, payload] of rows) {
    const inQuery = target === '/v1/uploads' ? { query } : {};
    const request = { method: method as 'POST', url: target, headers, ...inQuery, ...(payload ? { payload } : {}) };
    const answer = await worker.inject(request);
    t.equal(answer.json().code, code, `${method} ${JSON.stringify(headers)}: ${answer.body}`);
    if (code === 'TUS_VERSION_UNSUPPORTED') t.match(answer.headers, { 'tus-version': '1.0.0' });
  }
  t.equal((await client.head('/v1/uploads/none')).statusCode, 404);
  t.equal((await client.head(url)).headers['upload-offset'], '0', 'nothing of a refused body counts');
  const override = { ...tus, 'x-http-method-override': 'PATCH', 'upload-offset': '0', 'content-type': type };
  t.equal((await worker.inject({ method: 'POST', url, headers: override, payload: bytes })).statusCode, 204);
});

t.test('the first bytes may come with the creation', async (t) => {
  const client = new TusClient(await startWorker(t));
  const headers = { 'content-type': 'application/offset+octet-stream' };
  const part = { headers, payload: bytes.subarray(0, 5000) };
  const fields = { ...query, expected_digest: sha256(bytes) };
  const created = await client.create(bytes.length, fields, part);
  t.equal(created.headers['upload-offset'], '5000', created.body);
  const again = await client.create(bytes.length, fields, part);
  t.equal(uploadOf(again), uploadOf(created), 'a client that lost the answer gets the same upload');
  t.equal(again.headers['upload-offset'], '5000');
  t.equal((await client.create(bytes.length, { ...fields, total_shards: '2' })).json().code, 'SHARD_BUSY');
  t.equal((await client.send(uploadOf(created), 5000, bytes.subarray(5000))).statusCode, 204);
  const whole = await client.create(bytes.length, { ...query, shard_id: 'b' }, { headers, payload: bytes });
  t.equal(whole.headers['upload-offset'], String(bytes.length));
  t.equal((await client.get(uploadOf(whole))).json().shard.sealed, true);
});

t.test('an upload of an existing shard is complete from the start', async (t) => {
  const worker = await startWorker(t);
  const client = new TusClient(worker);
  const first = await upload(worker, 'a', bytes);
  const same = await client.create(bytes.length, { ...query, expected_digest: sha256(bytes) });
  t.match(same.headers, { 'upload-offset': String(bytes.length), location: /uploads/ });
  t.equal((await client.get(uploadOf(same))).json().handle, first.json().handle);
  const headers = { 'content-type': 'application/offset+octet-stream' };
  const again = await client.create(
    bytes.length,
    { ...query, expected_digest: sha256(bytes) },
    { headers, payload: bytes },
  );
  t.equal(again.headers['upload-offset'], String(bytes.length), 'the body is not needed');
  t.equal(
    (await client.create(bytes.length, { ...query, expected_digest: '0'.repeat(64) })).json().code,
    'SHARD_CONFLICT',
  );
  const compared = uploadOf(await client.create(bytes.length, query));
  t.equal((await client.send(compared, 0, bytes)).statusCode, 204);
  t.equal((await client.get(compared)).json().handle, first.json().handle);
});

t.test('without an expected digest, two clients never share an upload', async (t) => {
  const client = new TusClient(await startWorker(t));
  t.equal((await client.create(bytes.length, query)).statusCode, 201);
  t.equal((await client.create(bytes.length, query)).json().code, 'SHARD_BUSY');
});

t.test('an upload without SHA-256 continues as well', async (t) => {
  const client = new TusClient(await startWorker(t));
  const fields = { ...query, flat_digest: 'false', expected_tree_digest: referenceTreeDigest(bytes) };
  const url = uploadOf(await client.create(bytes.length, fields));
  t.equal((await client.send(url, 0, bytes.subarray(0, 700_001))).statusCode, 204);
  t.equal((await client.send(url, 700_001, bytes.subarray(700_001))).statusCode, 204);
  t.match((await client.get(url)).json().shard, { digest: null, tree_digest: referenceTreeDigest(bytes) });
});

t.test('a failed upload keeps its problem, and frees its memory', async (t) => {
  const worker = await startWorker(t);
  const client = new TusClient(worker);
  const before = await availableBytes(worker);
  const url = uploadOf(await client.create(bytes.length, { ...query, expected_digest: '0'.repeat(64) }));
  t.not((await availableBytes(worker)).join(), before.join(), 'the memory is taken');
  await client.send(url, 0, bytes.subarray(0, 9));
  t.match((await client.send(url, 9, bytes.subarray(9))).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  t.match((await client.get(url)).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  t.equal((await client.head(url)).statusCode, 422);
  t.same(await availableBytes(worker), before);
  t.equal((await client.create(bytes.length, query)).statusCode, 201, 'the shard id is free');
});

t.test('an idle upload keeps its memory, but no commit slot', async (t) => {
  const worker = await startWorker(t, { env: oneSlot });
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(bytes.length, query));
  t.equal((await upload(worker, 'b', bytes)).statusCode, 201);
  await client.send(url, 0, bytes.subarray(0, 100_000));
  t.equal((await upload(worker, 'c', bytes)).statusCode, 201);
  t.match((await get(worker, '/v1/shards/a')).json(), { state: 'receiving', received_bytes: 100_000 });
  t.equal((await remove(worker, '/v1/shards/a')).json().code, 'SHARD_BUSY');
  t.equal((await client.send(url, 100_000, bytes.subarray(100_000))).statusCode, 204);
});

t.test('an upload whose client stays away expires, and frees everything', onSimulator, async (t) => {
  const worker = await startWorker(t, { env: { WORKER_UPLOAD_RESUME_SECONDS: '1' } });
  const client = new TusClient(worker);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  const url = uploadOf(await client.create(bytes.length, query));
  await client.send(url, 0, bytes.subarray(0, 100_000));
  await until(async () => (await client.head(url)).statusCode === 410, 'the upload expires');
  await until(() => worker.residency.commitsInProgress === 0, 'everything is undone');
  t.match((await client.send(url, 100_000, bytes.subarray(100_000))).json(), { status: 410, code: 'UPLOAD_EXPIRED' });
  t.same(await availableBytes(worker), before);
  t.equal(simulator.live('*'), live);
});

t.test('an upload can be ended in every state', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true, env: oneSlot });
  const client = new TusClient(worker);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  const states = {
    created: async () => undefined,
    idle: async (url: string) => void (await client.send(url, 0, bytes.subarray(0, 100_000))),
    receiving: async (url: string) => {
      const sender = new RawClient(worker.url);
      sender.send(head(`PATCH ${url}`, { ...partHead, 'Upload-Offset': 0, 'Content-Length': bytes.length }));
      sender.send(bytes.subarray(0, 100_000));
      await until(async () => (await client.head(url)).headers['upload-offset'] === '100000', 'bytes arrive');
      return sender;
    },
  };
  for (const [name, reach] of Object.entries(states)) {
    const url = uploadOf(await client.create(bytes.length, query));
    const sender = await reach(url);
    t.equal((await client.end(url)).statusCode, 204, name);
    if (sender !== undefined) t.match(lastBody(await sender.until(/\}$/)), { code: 'NOT_FOUND' });
    await sender?.leave();
    t.equal((await client.head(url)).statusCode, 404);
    t.same(await availableBytes(worker), before, name);
    t.equal(simulator.live('*'), live, name);
    t.equal(worker.residency.commitsInProgress, 0);
  }
});

t.test('a newer request takes over from an older connection', async (t) => {
  const worker = await startWorker(t, { listen: true, env: oneSlot });
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(bytes.length, query));
  const older = new RawClient(worker.url);
  older.send(head(`PATCH ${url}`, { ...partHead, 'Upload-Offset': 0, 'Content-Length': bytes.length }));
  older.send(bytes.subarray(0, 100_000));
  await until(async () => (await client.head(url)).headers['upload-offset'] === '100000', 'bytes arrive');
  t.equal((await client.send(url, 100_000, bytes.subarray(100_000))).statusCode, 204);
  await older.closed;
  t.equal((await client.get(url)).json().shard.digest, sha256(bytes));
});

t.test('a client that leaves after its last byte finds a sealed shard', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(bytes.length, query));
  const sender = new RawClient(worker.url);
  sender.send(head(`PATCH ${url}`, { ...partHead, 'Upload-Offset': 0, 'Content-Length': bytes.length })).send(bytes);
  await until(async () => (await client.head(url)).headers['upload-offset'] === String(bytes.length), 'all arrived');
  await sender.reset();
  t.equal((await client.get(url)).json().shard.digest, sha256(bytes));
});

t.test('a body without a length ends where it ends', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(5, query));
  const send = async (offset: number, body: string) => {
    const sender = new RawClient(worker.url);
    sender
      .send(head(`PATCH ${url}`, { ...partHead, 'Upload-Offset': offset, 'Transfer-Encoding': 'chunked' }))
      .send(body);
    const heard = await sender.until(/\r\n\r\n/);
    await sender.leave();
    return Number(heard.slice(9, 12));
  };
  t.equal(await send(0, '3\r\nabc\r\n0\r\n\r\n'), 204);
  t.equal(await send(3, '3\r\ndef\r\n0\r\n\r\n'), 422, 'longer than declared');
  t.equal(await send(3, '2\r\nde\r\n0\r\n\r\n'), 204);
  t.equal((await client.get(url)).json().shard.digest, sha256(Buffer.from('abcde')));
});

t.test('a drain ends idle uploads at once', async (t) => {
  const worker = await startWorker(t);
  const client = new TusClient(worker);
  const idle = uploadOf(await client.create(bytes.length, query));
  worker.residency.drain();
  t.match((await client.send(idle, 0, bytes)).json(), { code: 'DRAINING' });
  await worker.residency.abortCommits();
  t.match((await client.get(idle)).json(), { code: 'DRAINING' });
});

t.test('an upload that waits in the queue leaves it with its client', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { ...oneSlot, WORKER_COMMIT_QUEUE: '1' } });
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(bytes.length, query));
  const holder = new RawClient(worker.url).send(head('PUT /v1/commit?shard_id=h&model_ref=m', { 'Content-Length': 9 }));
  await until(() => worker.residency.commitsInProgress === 2, 'the slot is taken');
  const waiting = new RawClient(worker.url);
  waiting.send(head(`PATCH ${url}`, { ...partHead, 'Upload-Offset': 0, 'Content-Length': bytes.length }));
  await until(() => worker.residency.stats().commitsWaiting === 1, 'it waits');
  t.equal((await client.send(url, 1, bytes)).json().code, 'UPLOAD_OFFSET');
  await waiting.closed;
  await until(() => worker.residency.stats().commitsWaiting === 0, 'it left the queue');
  await holder.leave();
  t.equal((await client.send(url, 0, bytes)).statusCode, 204);
});
