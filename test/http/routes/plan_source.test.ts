import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { ggufFile } from '../../support/gguf.js';
import { secretFile } from '../../support/key_files.js';
import { type FileRequest, modelOfSizes, sendRange, startPuller, startSource } from '../../support/pull_source.js';
import { get, mebibyte, post, sha256 } from '../../support/requests.js';
import { f32File } from '../../support/safetensors.js';
import { sourceWorker, transfersOf } from '../../support/source_worker.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const parts = { 'x-00001-of-00002.safetensors': f32File('a'), 'x-00002-of-00002.safetensors': f32File('b') };
const index = Buffer.from(
  JSON.stringify({ weight_map: { a: 'x-00001-of-00002.safetensors', b: 'x-00002-of-00002.safetensors' } }),
);

t.test('a plan by reference lists the files of a model, and reads only headers', async (t) => {
  const { worker, url, server, events } = await sourceWorker(t, { ...parts, 'x.safetensors.index.json': index });
  const source = { type: 'http', url: url('x.safetensors.index.json') };
  const answer = await post(worker, '/v1/plan', { source });
  t.equal(answer.statusCode, 200, answer.body);
  const lengths = Object.values(parts).map(({ length }) => length);
  t.match(answer.json(), {
    feasible: true,
    shard_plan: [
      { shard_index: 0, total_shards: 2, gpu_device: 0, vram_bytes: lengths[0] },
      { shard_index: 1, total_shards: 2, gpu_device: 0, vram_bytes: lengths[1] },
    ],
    resolved: {
      model_ref: source.url,
      immutable: false,
      skipped: [],
      files: Object.keys(parts).map((path) => ({ path, digest: null, digest_from: null, format: 'safetensors' })),
    },
  });
  t.notOk(events().includes('VramAllocated'));
  const reserved = await post(worker, '/v1/plan', { source, model_ref: 'm', reserve: true });
  t.match(reserved.json().reservation, { reservation_id: String }, reserved.body);
  t.ok(server.requests.length > 0);
});

t.test('16 plans by reference run at a time', async (t) => {
  const held: FileRequest[] = [];
  let isHolding = true;
  const answer = (request: FileRequest): boolean => {
    if (isHolding) held.push(request);
    return isHolding;
  };
  const source = await startSource(t, modelOfSizes([5000]), { answer });
  const worker = await startPuller(t, source);
  const body = { source: { type: 'http', url: `${source.url}model.safetensors.index.json` } };
  const plans = Array.from({ length: 17 }, () => post(worker, '/v1/plan', body));
  t.match((await Promise.race(plans)).json(), { status: 429, code: 'TOO_MANY_COMMITS' });
  await until(() => held.length > 0);
  isHolding = false;
  for (const { response, bytes, start, end } of held) sendRange(response, bytes, start, end);
  const statuses = (await Promise.all(plans)).map(({ statusCode }) => statusCode);
  t.equal(statuses.filter((status) => status === 200).length, 16);
});

t.test('a plan reads the header of a large file, and not its content', async (t) => {
  const large = Buffer.concat([patternBytes(64), Buffer.alloc(4 * mebibyte)]);
  const sidecar = Buffer.from(sha256(large).slice(7));
  const { worker, url, server } = await sourceWorker(t, { 'x.bin': large, 'x.bin.sha256': sidecar });
  const answer = await post(worker, '/v1/plan', {
    source: { type: 'http', url: url('x.bin') },
    shard_layout: 'single',
  });
  const file = { path: 'x.bin', bytes: large.length, digest: sha256(large), digest_from: 'sidecar', format: 'unknown' };
  t.same(answer.json().resolved?.files, [file], answer.body);
  t.strictSame(
    transfersOf(server.requests).map(({ range }) => range),
    ['bytes=0-262143'],
  );
});

t.test('a read token may plan by reference, and not reserve', async (t) => {
  const reader = 'read-token-0123456789abcdef0123456789';
  const env = { WORKER_READ_TOKEN_FILE: secretFile(t, reader) };
  const { worker, url } = await sourceWorker(t, { 'x.gguf': ggufFile() }, { env });
  const plan = (fields: object) =>
    worker.app.inject({
      method: 'POST',
      url: '/v1/plan',
      headers: { authorization: `Bearer ${reader}` },
      payload: { source: { type: 'http', url: url('x.gguf') }, ...fields },
    });
  t.match((await plan({})).json().resolved?.files, [{ format: 'gguf' }]);
  t.equal((await plan({ reserve: true })).json().code, 'FORBIDDEN');
});

t.test('a source that stalls plans delays no commit, and one that stalls commits delays no local file', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'local.gguf'), ggufFile());
  const { worker, url, server, commit } = await sourceWorker(
    t,
    { 'stalls.gguf': ggufFile(), 'x.gguf': ggufFile() },
    { env: { WORKER_MODEL_DIR: directory }, settings: { digest: 'allow' } },
  );
  let stalled = 0;
  server.interfere = ({ url: path = '', headers }) => {
    const stalls = path.endsWith('stalls.gguf') && headers.range !== 'bytes=0-0';
    if (stalls) stalled++;
    return stalls;
  };
  const source = { type: 'http', url: url('stalls.gguf') };
  const plans = [1, 2].map(() => post(worker, '/v1/plan', { source }));
  await until(() => stalled === 2, 'both plans stall');
  t.equal((await commit('remote', 'x.gguf')).statusCode, 201);
  const commits = ['a', 'b'].map((shardId) => commit(shardId, 'stalls.gguf'));
  await until(() => stalled === 4, 'both commits stall');
  const local = { shard_id: 'local', model_ref: 'm', source: { type: 'file', path: 'local.gguf' } };
  t.equal((await post(worker, '/v1/commit', local)).statusCode, 201);
  await worker.residency.abortCommits();
  for (const answer of await Promise.all([...plans, ...commits])) t.equal(answer.json().code, 'DRAINING');
});

t.test('trouble with the source, the format or the fields is a problem', async (t) => {
  const { worker, url, server } = await sourceWorker(t, {
    ...parts,
    'x.safetensors.index.json': index,
    'x-00002-of-00002.safetensors': f32File('other'),
    'empty.gguf': Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(100)]),
  });
  const problem = async (name: string, fields: object = {}) =>
    (await post(worker, '/v1/plan', { source: { type: 'http', url: url(name) }, ...fields })).json();
  t.match(await problem('none.gguf'), { status: 404, code: 'SOURCE_NOT_FOUND' });
  t.match(await problem('empty.gguf'), { status: 422, code: 'FORMAT_INVALID' });
  t.match(await problem('x.safetensors.index.json'), { status: 422, code: 'FORMAT_INVALID' });
  const before = server.requests.length;
  t.match(await problem('x.gguf', { model_bytes: 5 }), { status: 400, detail: /model_bytes is set together/ });
  t.match(await problem('x.gguf', { gpu_devices: [99] }), { code: 'INVALID_PARAMS' });
  t.match(await problem('x.gguf', { shard_layout: 'pipeline' }), { status: 400, detail: /shard_layout/ });
  t.equal(server.requests.length, before, 'nothing was asked of the source');
  const sizes = await post(worker, '/v1/plan', { model_bytes: 5, shard_layout: 'single' });
  t.match(sizes.json(), { code: 'INVALID_PARAMS', detail: /model_ref is missing/ });
});

const folder = process.env.MODELS_DIR;
t.test('real models are planned', folder === undefined ? { skip: 'MODELS_DIR is not set' } : {}, async (t) => {
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: folder } });
  for (const path of readdirSync(String(folder)).filter((name) => name.endsWith('.gguf'))) {
    const source = { type: 'file', path };
    const planned = await post(worker, '/v1/plan', { source });
    t.match(planned.json().resolved?.files, [{ path, format: 'gguf' }], planned.body);
    const [shard_id, model_ref] = [path.replace(/\W/g, '-'), 'real'];
    const expected_digest = sha256(readFileSync(join(String(folder), path)));
    const committed = await post(worker, '/v1/commit', { shard_id, model_ref, source, expected_digest });
    t.equal(committed.statusCode, 201, committed.body);
    t.match((await get(worker, `/v1/shards/${shard_id}`)).json(), { source: `file:${path}`, restorable: true });
  }
});
