import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { until } from '../support/until.js';

const bytes = patternBytes(4096);

async function commit({ url, authorization }: WorkerProcess, shardId: string, modelRef: string): Promise<void> {
  const query = new URLSearchParams({ shard_id: shardId, model_ref: modelRef });
  const answer = await fetch(`${url}/v1/commit?${query}`, { method: 'PUT', headers: { authorization }, body: bytes });
  if (!answer.ok) throw new Error(await answer.text());
}

/** As docs/kubernetes.md tells a user to compute it, with sha256sum. */
const labelOf = (modelRef: string): string =>
  `vram-residency.dev/model-${createHash('sha256').update(modelRef).digest('hex').slice(0, 16)}`;

/** The lines of a feature file without directives. */
const labelsIn = (file: string): string[] =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
    : [];

t.test('the file has a label for each ready model, until the model or the worker is gone', async (t) => {
  const directory = temporaryDirectory(t);
  const features = join(directory, 'features.d');
  const file = join(features, 'vram-residency');
  mkdirSync(features);
  const worker = await startProcess(t, directory, { WORKER_NODE_FEATURES_FILE: file });
  await until(() => existsSync(file));
  t.same(labelsIn(file), [], 'an empty file replaces the labels of an earlier worker');
  await commit(worker, 'a-0', 'org/model one ☃');
  await until(() => labelsIn(file).length > 0);
  t.same(labelsIn(file), [`${labelOf('org/model one ☃')}=ready`]);
  const [, expiry = ''] = /^# \+expiry-time=(\S+)\n/.exec(readFileSync(file, 'utf8')) ?? [];
  t.match(expiry, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const lifetimeMs = Date.parse(expiry) - statSync(file).mtimeMs;
  t.ok(lifetimeMs > 170_000 && lifetimeMs <= 181_000, 'the labels of a killed worker expire');
  t.same(readdirSync(features), ['vram-residency'], 'no other file is left');
  await commit(worker, 'b-0', 'b');
  await until(() => labelsIn(file).length === 2);
  const headers = { authorization: worker.authorization };
  await fetch(`${worker.url}/v1/shards/a-0`, { method: 'DELETE', headers });
  await until(() => labelsIn(file).length === 1);
  t.same(labelsIn(file), [`${labelOf('b')}=ready`]);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
  t.same(readdirSync(features), []);
});

t.test('a worker with more than 64 models labels 64', async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'features');
  const worker = await startProcess(t, directory, { WORKER_NODE_FEATURES_FILE: file });
  for (let index = 0; index < 65; index += 1) await commit(worker, `s-${index}`, `m-${index}`);
  await until(() => labelsIn(file).length >= 64);
  t.equal(labelsIn(file).length, 64);
});

t.test('a directory that is missing does not stop the worker', async (t) => {
  const directory = temporaryDirectory(t);
  const worker = await startProcess(t, directory, { WORKER_NODE_FEATURES_FILE: join(directory, 'none', 'file') });
  await until(() => worker.output().includes('node features file cannot be written'));
  await commit(worker, 'a-0', 'm');
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});
