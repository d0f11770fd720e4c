import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { claimsOf } from '../../support/handles.js';
import { sendRange } from '../../support/range_server.js';
import { get, post, sha256 } from '../../support/requests.js';
import { sourceWorker, transfersOf } from '../../support/source_worker.js';

const bytes = patternBytes(700_000);
const sidecar = Buffer.from(`${sha256(bytes).slice(7)}  stated.bin\n`);
const invalidGguf = Buffer.concat([Buffer.from('GGUF'), Buffer.from([1, 0, 0, 0]), patternBytes(5000)]);

t.test('a file of an HTTP server becomes a shard, which names its source', async (t) => {
  const { worker, commit, url } = await sourceWorker(t, {
    'model.bin': bytes,
    'stated.bin': bytes,
    'stated.bin.sha256': sidecar,
  });
  const created = await commit('a', 'model.bin', { expected_digest: sha256(bytes) });
  t.equal(created.statusCode, 201, created.body);
  const source = url('model.bin');
  t.match(created.json().shard, { vram_bytes: bytes.length, digest: sha256(bytes), source, restorable: true });
  t.match(claimsOf(created.json().handle), { expected: 'sha256', expected_by: 'client', source });
  const again = await commit('a', 'model.bin', { expected_digest: sha256(bytes) });
  t.equal(again.statusCode, 200, 'a retry is safe');

  const stated = await commit('b', 'stated.bin');
  t.equal(stated.statusCode, 201, stated.body);
  const claims = claimsOf(stated.json().handle);
  t.match(claims, { expected: 'sha256', expected_by: 'source', source: url('stated.bin') });
  t.match((await post(worker, '/v1/handles/verify', { handle: stated.json().handle })).json(), { valid: true });
});

t.test('a URL with a query is neither in the handle nor restorable', async (t) => {
  const { worker, commit } = await sourceWorker(t, { 'model.bin': bytes });
  const created = await commit('a', 'model.bin?signature=secret', { expected_digest: sha256(bytes) });
  t.equal(created.statusCode, 201, created.body);
  t.notOk('source' in claimsOf(created.json().handle));
  const { body } = await get(worker, '/v1/shards/a');
  t.match(JSON.parse(body), { source: null, restorable: false });
  t.notMatch(body, /secret/);
});

t.test('the rule about digests is decided before the transfer', async (t) => {
  const files = { 'model.bin': bytes, 'stated.bin': bytes, 'stated.bin.sha256': sidecar };
  const strict = await sourceWorker(t, files);
  const missing = (await strict.commit('a', 'model.bin')).json();
  t.match(missing, { code: 'INVALID_PARAMS', detail: /set expected_digest/ });
  const other = (await strict.commit('a', 'stated.bin', { expected_digest: sha256(Buffer.from('other')) })).json();
  t.match(other, { code: 'DIGEST_MISMATCH', status: 422, detail: /The source states/ });
  t.strictSame(transfersOf(strict.server.requests), [], 'no byte was requested');
  t.notOk(strict.events().includes('VramAllocated'));
  const allowing = await sourceWorker(t, files, { settings: { digest: 'allow' } });
  const allowed = await allowing.commit('a', 'model.bin');
  t.equal(allowed.statusCode, 201, allowed.body);
  const claims = claimsOf(allowed.json().handle);
  t.equal(claims.expected, 'none');
  t.notOk('expected_by' in claims);
});

t.test('a file of invalid format is refused before memory is allocated', async (t) => {
  const { commit, events, worker } = await sourceWorker(t, { 'model.gguf': invalidGguf });
  const refused = (await commit('a', 'model.gguf', { expected_digest: sha256(invalidGguf) })).json();
  t.match(refused, { status: 422, code: 'FORMAT_INVALID', file: 'model.gguf', rule: /gguf/ });
  t.notOk(events().includes('VramAllocated'));
  t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
});

t.test('bytes with a wrong digest are fetched once more', async (t) => {
  const { commit, server } = await sourceWorker(t, { 'model.bin': bytes });
  const damaged = Buffer.from(bytes);
  damaged[600_000] = (damaged[600_000] ?? 0) ^ 1;
  let lies = 1;
  server.interfere = ({ headers: { range } }, response) => {
    if (range !== `bytes=0-${bytes.length - 1}` || lies-- <= 0) return false;
    sendRange(response, damaged, range);
    return true;
  };
  const created = await commit('a', 'model.bin', { expected_digest: sha256(bytes) });
  t.equal(created.statusCode, 201, created.body);
  lies = 2;
  const before = server.requests.length;
  const refused = await commit('b', 'model.bin', { expected_digest: sha256(bytes) });
  t.match(refused.json(), { status: 422, code: 'DIGEST_MISMATCH' });
  const whole = server.requests.slice(before).filter(({ range }) => range === `bytes=0-${bytes.length - 1}`);
  t.equal(whole.length, 2, 'two transfers, and no third one');
});

t.test('a commit continues after its connections are cut', async (t) => {
  const { commit, server } = await sourceWorker(t, { 'model.bin': bytes });
  let cuts = 3;
  server.interfere = ({ headers: { range = '' } }, response) => {
    const start = Number(/^bytes=(\d+)-/.exec(range)?.[1]);
    if (range === 'bytes=0-0' || cuts-- <= 0) return false;
    sendRange(response, bytes, range, start + 150_000);
    return true;
  };
  const created = await commit('a', 'model.bin', { expected_digest: sha256(bytes) });
  t.equal(created.statusCode, 201, created.body);
});

t.test('an error of a source names the field, or says what the source did', async (t) => {
  const index = Buffer.from(
    JSON.stringify({ weight_map: { a: 'x-00001-of-00002.safetensors', b: 'x-00002-of-00002.safetensors' } }),
  );
  const { worker, commit } = await sourceWorker(t, {
    'x.safetensors.index.json': index,
    'x-00001-of-00002.safetensors': bytes,
    'x-00002-of-00002.safetensors': bytes,
  });
  const details = async (source: unknown) =>
    (await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', source })).json().detail;
  t.match(await details({ type: 'http' }), /^source.url is missing$/);
  t.match(await details({ type: 'web', url: 'x' }), /^source.type must be one of file, http/);
  t.match(await details({ url: 'x' }), /^source.type is missing$/);
  t.match(await details({ type: 'file', path: 'x', url: 'y' }), /^source has an unknown field: "url"/);
  t.match(await details({ type: 's3', bucket: '!', key: 'k' }), /^source.bucket must match/);
  t.match(await details({ type: 'file', path: 'x' }), /WORKER_MODEL_DIR/);
  t.match((await commit('a', 'none.bin')).json(), { status: 404, code: 'SOURCE_NOT_FOUND' });
  t.match((await commit('a', '../x.bin')).json(), { status: 403, code: 'SOURCE_FORBIDDEN' });
  const two = (await commit('a', 'x.safetensors.index.json')).json();
  t.match(two, { code: 'INVALID_PARAMS', detail: /names 2 files.*\/v1\/pulls/ });
});
