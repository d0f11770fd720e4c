import t, { type Test } from 'tap';
import { writeCache } from '../../support/hub/cache.js';
import { git, type HubFile, HubRepository, lfs, sha256 } from '../../support/hub/repository.js';
import { startHub } from '../../support/hub/server.js';
import { hubRegistry } from '../../support/hub/source.js';
import { endedPull } from '../../support/pull_source.js';
import { get, post } from '../../support/requests.js';
import { safetensorsFile } from '../../support/safetensors.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { startWorker } from '../../support/worker.js';

// Whole models of a hub and of the cache, pulled by a worker.

const count = 12;
const nameOf = (number: number) => `model-${String(number).padStart(5, '0')}-of-000${count}.safetensors`;
const numbers = Array.from({ length: count }, (_, at) => at + 1);
const partOf = (number: number): HubFile => {
  const end = 300_000 + number * 4;
  return lfs(
    nameOf(number),
    safetensorsFile({ [`t${number}`]: { dtype: 'U8', shape: [end], data_offsets: [0, end] } }),
  );
};
const parts = numbers.map(partOf);
const map = Object.fromEntries(numbers.map((number) => [`t${number}`, nameOf(number)]));
const index = git('model.safetensors.index.json', JSON.stringify({ weight_map: map }));
const duplicate = lfs(
  'consolidated.safetensors',
  safetensorsFile({ t1: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }),
);
const files = [git('LICENSE', 'MIT'), duplicate, ...parts, index];
const source = { type: 'hf', repo: 'org/name' };

async function start(t: Test, content: readonly HubFile[] = files) {
  const hub = await startHub(t, { pageSize: 5 });
  const repository = new HubRepository('org/name');
  const { sha } = repository.commit(content);
  hub.add(repository);
  const worker = await startWorker(t, { residency: { registry: hubRegistry(hub) } });
  const pull = async (fields: object = {}) => {
    const answer = await post(worker, '/v1/pulls', { pull_id: 'p', source, shard_id_prefix: 'p', ...fields });
    return answer.statusCode === 202 ? endedPull(worker, 'p') : answer.json();
  };
  return { hub, sha, worker, pull };
}

t.test(
  'a model with an index is pulled through cuts and expired URLs, without what the index does not list',
  async (t) => {
    const { hub, sha, worker, pull } = await start(t);
    hub.faults.expires = true;
    hub.faults.cutBytes = 270_000;
    const ended = await pull();
    t.match(
      ended,
      { state: 'sealed', problem: null, model_ref: `hf://org/name@${sha}` },
      JSON.stringify(ended.problem),
    );
    const { shards } = (await get(worker, '/v1/shards')).json();
    const digests = shards.map(({ shard_index, digest }: { shard_index: number; digest: string }) => [
      shard_index,
      digest,
    ]);
    t.strictSame(
      digests.sort(([a]: [number], [b]: [number]) => a - b),
      parts.map(({ content }, at) => [at, `sha256:${sha256(content)}`]),
    );
    t.match((await get(worker, '/v1/ready')).json(), { ready: true });
  },
);

t.test('files of folders without an index are part of the model, as in its plan', async (t) => {
  const weights = (path: string, tensor: string) =>
    lfs(path, safetensorsFile({ [tensor]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }));
  const [indexed, alone] = [weights('text/model-1.safetensors', 'a'), weights('vae/model.safetensors', 'b')];
  const textIndex = git('text/model.safetensors.index.json', '{"weight_map":{"a":"model-1.safetensors"}}');
  const { worker, pull } = await start(t, [textIndex, indexed, weights('text/copy.safetensors', 'a'), alone]);
  const planned = (await post(worker, '/v1/plan', { source })).json();
  const ended = await pull();
  t.equal(ended.state, 'sealed', JSON.stringify(ended.problem));
  const paths = [indexed.path, alone.path];
  t.same(
    planned.resolved.files.map(({ path }: { path: string }) => path),
    paths,
  );
  t.same(
    ended.files.map(({ path }: { path: string }) => path),
    paths,
  );
  t.same(ended.resolved.skipped, ['text/copy.safetensors']);
});

t.test('one wrong byte of one file undoes the whole model', async (t) => {
  const { hub, worker, pull } = await start(t);
  const [, , seventh] = parts.slice(4);
  hub.faults.content = (content) =>
    seventh?.content.equals(content) === true ? Buffer.concat([content.subarray(0, -1), Buffer.of(1)]) : content;
  t.match(await pull(), { state: 'failed', problem: { code: 'DIGEST_MISMATCH' } });
  t.strictSame((await get(worker, '/v1/shards')).json().shards, []);
  t.match((await get(worker, '/v1/devices')).json().devices[0], { reserved_bytes: 0 });
});

t.test('access that ends in the middle of a model fails it with the words of the hub', async (t) => {
  const { hub, worker, pull } = await start(t);
  let opened = 0;
  hub.faults.beforeCdn = () => {
    opened += 1;
    if (opened > 18) hub.faults.resolve = { status: 403, code: 'GatedRepo' };
  };
  t.match(await pull(), { state: 'failed', problem: { code: 'SOURCE_AUTH_FAILED', detail: /gated/ } });
  t.strictSame((await get(worker, '/v1/shards')).json().shards, []);
});

t.test('a list that lacks a part of the model fails it', async (t) => {
  const { pull } = await start(
    t,
    files.filter(({ path }) => path !== nameOf(3)),
  );
  t.match(await pull(), { state: 'failed', problem: { code: 'SOURCE_NOT_FOUND', detail: /model-00003/ } });
});

t.test('a model of the cache is pulled without a connection', async (t) => {
  const cache = temporaryDirectory(t);
  const sha = writeCache(cache, 'org/name', files);
  const worker = await startWorker(t, { env: { WORKER_HF_CACHE_DIR: cache } });
  await post(worker, '/v1/pulls', { pull_id: 'p', source: { ...source, type: 'hf_cache' }, shard_id_prefix: 'p' });
  const ended = await endedPull(worker, 'p');
  t.match(ended, { state: 'sealed', model_ref: `hf-cache://org/name@${sha}` }, JSON.stringify(ended.problem));
  t.equal(ended.files.length, count);
});
