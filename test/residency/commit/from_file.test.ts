import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { post, sha256 } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(1_300_000);

t.test('a shard can be committed only from a regular file inside the model directory', async (t) => {
  const outside = t.testdir({ secret: 'secret' });
  const directory = join(outside, 'models');
  mkdirSync(join(directory, 'sub'), { recursive: true });
  writeFileSync(join(directory, 'sub', 'model.gguf'), bytes);
  writeFileSync(join(directory, 'empty'), '');
  symlinkSync(join(outside, 'secret'), join(directory, 'link'));
  symlinkSync('model.gguf', join(directory, 'sub', 'alias'));
  symlinkSync(join(directory, 'sub', 'model.gguf'), join(directory, 'absolute'));
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  const commit = (shardId: string, path: string, fields: object = {}) =>
    post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'model', source: { type: 'file', path }, ...fields });

  const answer = await commit('a', 'sub/model.gguf', { expected_digest: sha256(bytes) });
  t.equal(answer.statusCode, 201, answer.body);
  t.equal(answer.json().shard.tree_digest, referenceTreeDigest(bytes));
  t.equal((await commit('a', 'sub/alias')).statusCode, 200, 'a link inside the directory, to the same bytes');
  t.equal((await commit('a', 'absolute')).statusCode, 200, 'an absolute link inside the directory');
  const refused = [
    ['sub/absent', 404, 'NOT_FOUND'],
    ['../secret', 400, 'INVALID_PARAMS'],
    ['/etc/passwd', 400, 'INVALID_PARAMS'],
    ['link', 400, 'INVALID_PARAMS'],
    ['sub', 400, 'INVALID_PARAMS'],
    ['empty', 400, 'INVALID_PARAMS'],
  ] as const;
  for (const [path, status, code] of refused) {
    const refusal = await commit('b', path);
    t.match(refusal.json(), { status, code }, path);
    t.notMatch(refusal.body, outside, 'the answer has no path of the host');
  }
});

t.test('a commit from a file is refused if the worker has no model directory', async (t) => {
  const worker = await startWorker(t);
  const source = { type: 'file', path: 'x' };
  const answer = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'model', source });
  t.match(answer.json(), { status: 400, code: 'INVALID_PARAMS' });
});

t.test('a model directory that is gone is an error of the worker, and passes', async (t) => {
  const directory = t.testdir({ models: { model: 'bytes' } });
  const models = join(directory, 'models');
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: models } });
  const fields = { shard_id: 'a', model_ref: 'model', source: { type: 'file', path: 'model' } };
  renameSync(models, join(directory, 'away'));
  const refusal = await post(worker, '/v1/commit', fields);
  t.match(refusal.json(), { status: 503, code: 'MODEL_DIR_UNAVAILABLE', retriable: true, detail: /ENOENT$/ });
  t.equal(refusal.headers['retry-after'], '5');
  t.notMatch(refusal.body, directory, 'the answer has no path of the host');
  renameSync(join(directory, 'away'), models);
  t.equal((await post(worker, '/v1/commit', fields)).statusCode, 201);
});
