import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { claimsOf } from '../../support/handles.js';
import { get, post, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const bytes = patternBytes(5000);

t.afterEach(() => simulator.reset());

const attested = async (worker: TestWorker, query: string) => {
  const { attestation, handles } = (await get(worker, `/v1/ready?nonce=n&${query}`)).json();
  return { claims: claimsOf(attestation), handles };
};

/** Two shards of the model `A`, committed in the reverse order of their ids, and one of `B`. */
async function startWithShards(t: Parameters<typeof startWorker>[0]): Promise<TestWorker> {
  const worker = await startWorker(t);
  await upload(worker, 'a-2', bytes, { model_ref: 'A', shard_index: '1', total_shards: '2' });
  await upload(worker, 'a-1', bytes, { model_ref: 'A', shard_index: '0', total_shards: '2' });
  await upload(worker, 'B', bytes, { model_ref: 'B' });
  return worker;
}

t.test('an attestation names the question and the sealed shards of the answer, ordered by id', async (t) => {
  const worker = await startWithShards(t);
  const beforeMs = Date.now();
  const { claims, handles } = await attested(worker, 'model_ref=A&max_age_seconds=3600');
  t.same(Object.keys(claims), [
    'iss',
    'boot_id',
    'nonce',
    'iat',
    'model_ref',
    'max_age_seconds',
    'asked_at',
    'ready',
    'oldest_verified_at',
    'shards',
  ]);
  t.match(claims, { iss: 'worker-1', nonce: 'n', ready: true, model_ref: 'A', max_age_seconds: 3600 });
  t.ok(Date.parse(claims.asked_at) >= beforeMs && Date.parse(claims.asked_at) <= Date.now());
  const expected = handles
    .map(({ handle, shard }: { handle: string; shard: { shard_id: string; last_verified_at: string } }) => ({
      shard_id: shard.shard_id,
      jti: claimsOf(handle).jti,
      last_verified_at: shard.last_verified_at,
    }))
    .sort((a: { shard_id: string }, b: { shard_id: string }) => (a.shard_id < b.shard_id ? -1 : 1));
  t.same(claims.shards, expected);
  t.equal(claims.oldest_verified_at, claims.shards[1].last_verified_at, 'a-2 was sealed first');

  const { claims: all } = await attested(worker, '');
  t.match(all, { model_ref: null, max_age_seconds: null });
  t.same(
    all.shards.map(({ shard_id }: { shard_id: string }) => shard_id),
    ['B', 'a-1', 'a-2'],
    'the order is that of the bytes',
  );
});

t.test('without handles, an attestation has the hash of the list', async (t) => {
  const worker = await startWithShards(t);
  const { claims: listed } = await attested(worker, 'model_ref=A');
  const { claims: hashed } = await attested(worker, 'model_ref=A&handles=false');
  const lines = listed.shards.map(
    ({ shard_id, jti, last_verified_at }: Record<string, string>) => `${shard_id} ${jti} ${last_verified_at}\n`,
  );
  t.notOk('shards' in hashed);
  t.equal(hashed.shards_sha256, createHash('sha256').update(lines.join('')).digest('hex'));
  t.equal(hashed.oldest_verified_at, listed.oldest_verified_at);
});

t.test('a corrupt shard and another model are not in the list', onSimulator, async (t) => {
  const worker = await startWithShards(t);
  const { claims } = await attested(worker, 'model_ref=C');
  t.match(claims, { ready: false, model_ref: 'C', oldest_verified_at: null, shards: [] });
  const { claims: empty } = await attested(worker, 'model_ref=C&handles=false');
  t.equal(empty.shards_sha256, createHash('sha256').digest('hex'));
  simulator.spoofs('host_pointer=1');
  await post(worker, '/v1/shards/a-1/verify');
  simulator.spoofs('');
  const { claims: after } = await attested(worker, 'model_ref=A');
  t.match(after, { ready: false, shards: [{ shard_id: 'a-2' }] });
  t.equal(after.shards.length, 1);
});

t.test('asked_at is when the request came in, and each request has its own', onSimulator, async (t) => {
  const worker = await startWithShards(t);
  await sleep(1100);
  simulator.reset();
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  const beforeMs = Date.now();
  const answers = [attested(worker, 'max_age_seconds=1')];
  await until(() => simulator.calls('cuLaunchKernel') > 0);
  const betweenMs = Date.now();
  answers.push(attested(worker, 'max_age_seconds=1'));
  simulator.latencyUs(0);
  const [first, second] = (await Promise.all(answers)).map(({ claims }) => claims);
  const askedMs = Date.parse(first.asked_at);
  t.ok(beforeMs <= askedMs && askedMs <= betweenMs, 'the time of the verification is not included');
  t.ok(Date.parse(second.asked_at) >= betweenMs);
  for (const { asked_at, oldest_verified_at, ready } of [first, second]) {
    t.equal(ready, true);
    t.ok(Date.parse(oldest_verified_at) >= Date.parse(asked_at) - 1000);
  }
});
