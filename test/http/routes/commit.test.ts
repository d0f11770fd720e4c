import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { post, sha256 } from '../../support/requests.js';
import { lastDevice } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(9000);

t.test('a JSON commit reads its file', async (t) => {
  const directory = t.testdir({});
  writeFileSync(join(directory, 'model.gguf'), bytes);
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  const body = {
    shard_id: 'a',
    model_ref: 'm',
    shard_index: 0,
    total_shards: 1,
    gpu_device: lastDevice,
    flat_digest: true,
    expected_digest: sha256(bytes),
    source: { type: 'file', path: 'model.gguf' },
  };
  const created = await post(worker, '/v1/commit', body);
  t.equal(created.statusCode, 201, created.body);
  t.equal(created.headers.location, '/v1/shards/a');
  t.match(created.json().shard, { gpu_device: lastDevice, digest: sha256(bytes), vram_bytes: 9000 });
  const again = await post(worker, '/v1/commit', body);
  t.equal(again.statusCode, 200);
  t.equal(again.headers.location, undefined);
  t.equal(again.json().handle, created.json().handle);
});

t.test('a JSON commit with an invalid field is refused', async (t) => {
  const worker = await startWorker(t);
  const good = { shard_id: 'a', model_ref: 'm', source: { type: 'file', path: 'model.gguf' } };
  for (const wrong of [
    { ...good, shard_index: '0' },
    { ...good, shard_index: 1 },
    { ...good, total_shards: 0 },
    { ...good, flat_digest: 'false' },
    { ...good, flat_digest: false },
    { ...good, expected_digest: null },
    { ...good, vram_bytes: 9000 },
    { ...good, source: { type: 'url', path: 'x' } },
    { ...good, source: { type: 'file', path: 'a\0b' } },
    { ...good, source: { type: 'file', path: '' } },
    { ...good, source: { type: 'file', path: 'x', more: 1 } },
    { ...good, source: 'model.gguf' },
    { shard_id: 'a', model_ref: 'm' },
    [],
  ]) {
    t.equal((await post(worker, '/v1/commit', wrong)).json().code, 'INVALID_PARAMS', JSON.stringify(wrong));
  }
  const withQuery = await post(worker, '/v1/commit?shard_id=b', good);
  t.equal(withQuery.json().code, 'INVALID_PARAMS', 'a JSON commit takes no query');
});

t.test('JSON is refused for PUT', async (t) => {
  const { inject } = await startWorker(t);
  const answer = await inject({ method: 'PUT', url: '/v1/commit', payload: { shard_id: 'a' } });
  t.equal(answer.json().code, 'UNSUPPORTED_MEDIA_TYPE');
});
