import t from 'tap';
import { Clocks, day, hour } from '../../support/clock.js';
import {
  endedPull,
  type FileRequest,
  modelOfSizes,
  pullBody,
  sendRange,
  startPull,
  startPuller,
  startSource,
} from '../../support/pull_source.js';
import { get, post, remove, sha256 } from '../../support/requests.js';
import { until } from '../../support/until.js';

const sizes = [700_000, 5000, 1_300_000];

t.test('a pull seals every file of a model, and the same request is the same pull', async (t) => {
  const files = modelOfSizes(sizes);
  const source = await startSource(t, files);
  const worker = await startPuller(t, source);
  const answer = await startPull(worker, source, 'a');
  t.equal(answer.statusCode, 202, answer.body);
  t.equal(answer.headers.location, '/v1/pulls/a');
  t.match(answer.json(), { pull_id: 'a', shard_id_prefix: 'a', problem: null });
  t.equal((await startPull(worker, source, 'a')).statusCode, 202);
  t.match((await startPull(worker, source, 'a', { digest: 'allow' })).json(), { status: 409, code: 'PULL_CONFLICT' });
  const pull = await endedPull(worker, 'a');
  const names = [...files.keys()].slice(0, -1);
  t.match(pull, { state: 'sealed', problem: null, remaining_seconds: null, model_ref: 'model' });
  t.same(
    pull.files,
    names.map((path, index) => ({
      path,
      shard_id: `a-${index}`,
      state: 'sealed',
      bytes: files.get(path)?.length,
      received_bytes: files.get(path)?.length,
      attempts: 1,
      last_problem: null,
    })),
  );
  t.equal(pull.received_bytes, pull.bytes);
  t.equal(pull.fetched_bytes, pull.bytes);
  const ofIndex = source.paths.filter((path) => path === 'model.safetensors.index.json');
  t.equal(ofIndex.length, 2, 'one request for the length of the index, and one for its bytes');
  const { shards } = (await get(worker, '/v1/shards')).json();
  t.same(
    shards.map(({ shard_index, total_shards, digest, state }: Record<string, unknown>) => [
      shard_index,
      total_shards,
      digest,
      state,
    ]),
    names.map((name, index) => [index, 3, sha256(files.get(name) ?? Buffer.alloc(0)), 'sealed']),
  );
  t.match((await get(worker, '/v1/ready')).json(), { ready: true, models: [{ model_ref: 'model', ready: true }] });
  const again = await startPull(worker, source, 'a');
  t.equal(again.statusCode, 200);
  t.same(again.json(), pull);
  t.same(
    (await get(worker, '/v1/pulls')).json().pulls.map(({ pull_id }: { pull_id: string }) => pull_id),
    ['a'],
  );
});

t.test('a pull from a remote source is not faster than its maximum rate', async (t) => {
  const source = await startSource(t, modelOfSizes([600_000]));
  const worker = await startPuller(t, source);
  await startPull(worker, source, 'a', { bytes_per_second: 500_000 });
  const { state, created_at, ended_at } = await endedPull(worker, 'a');
  t.equal(state, 'sealed');
  // The limit may run ahead by 100 ms, and the last chunk does not wait.
  t.ok(Date.parse(ended_at) - Date.parse(created_at) >= 800);
});

t.test('a pull receives as many files at a time as WORKER_PULL_FILES says', async (t) => {
  const held: FileRequest[] = [];
  let isHolding = true;
  const answer = (request: FileRequest): boolean => {
    if (!isHolding || request.name.endsWith('.json')) return false;
    held.push(request);
    return true;
  };
  const source = await startSource(t, modelOfSizes([5000, 5000, 5000, 5000]), { answer });
  const worker = await startPuller(t, source, { env: { WORKER_PULL_FILES: '2' } });
  await startPull(worker, source, 'a', { format_check: 'off' });
  await until(() => held.length === 2);
  await get(worker, '/v1/pulls/a?wait_seconds=1');
  t.equal(held.length, 2);
  isHolding = false;
  for (const { response, bytes, start, end } of held) sendRange(response, bytes, start, end);
  t.match(await endedPull(worker, 'a'), { state: 'sealed', files: [{}, {}, {}, {}] });
});

t.test('invalid requests are refused in the order of the contract', async (t) => {
  const source = await startSource(t, modelOfSizes([5000]));
  const worker = await startPuller(t, source);
  const body = (fields: object) => pullBody(source, 'a', fields);
  const rows: readonly (readonly [code: string, fields: object])[] = [
    ['INVALID_PARAMS', { typo: 1, reservation_id: 'absent' }],
    ['INVALID_PARAMS', { shard_id_prefix: 'a b' }],
    ['INVALID_PARAMS', { source: { type: 'http', url: source.url, token: 'x' } }],
    ['INVALID_PARAMS', { source: { type: 'ftp', url: source.url } }],
    ['INVALID_PARAMS', { flat_digest: false }],
    ['INVALID_PARAMS', { deadline_seconds: 14_401 }],
    ['INVALID_PARAMS', { expected: { file: 'sha256:1' } }],
    ['INVALID_PARAMS', { gpu_devices: [9], reservation_id: 'absent' }],
    ['NOT_FOUND', { reservation_id: 'absent' }],
  ];
  for (const [code, fields] of rows) {
    const answer = await post(worker, '/v1/pulls', body(fields));
    t.equal(answer.json().code, code, `${JSON.stringify(fields)} ${answer.body}`);
  }
  t.equal((await get(worker, '/v1/pulls/absent')).statusCode, 404);
  t.equal((await remove(worker, '/v1/pulls/absent')).statusCode, 404);
  t.equal((await get(worker, '/v1/pulls/absent/events')).statusCode, 404);
  t.same((await get(worker, '/v1/pulls')).json(), { pulls: [], next_cursor: null });
});

t.test('the outcome of a pull is kept for an hour, also if the wall clock is set', async (t) => {
  const source = await startSource(t, modelOfSizes([5000]));
  const worker = await startPuller(t, source);
  await startPull(worker, source, 'a');
  await endedPull(worker, 'a');
  const clocks = Clocks.take(t);
  for (const ms of [day, -2 * day]) {
    clocks.step(ms);
    t.match((await get(worker, '/v1/pulls/a')).json(), { state: 'sealed' });
  }
  clocks.pass(hour + 1);
  t.equal((await get(worker, '/v1/pulls/a')).statusCode, 404);
});
