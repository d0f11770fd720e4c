import fc from 'fast-check';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

t.test('shards are listed in pages and filtered', async (t) => {
  const worker = await startWorker(t);
  for (const [index, id] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    await upload(worker, id, patternBytes(10 + index), { model_ref: index < 3 ? 'm' : 'n' });
  }
  const page = async (query: string) => {
    const { shards, next_cursor } = (await get(worker, `/v1/shards?${query}`)).json();
    return { ids: shards.map((shard: { shard_id: string }) => shard.shard_id).join(''), next: next_cursor };
  };
  t.same(await page(''), { ids: 'abcde', next: null });
  t.same(await page('model_ref=n'), { ids: 'de', next: null });
  t.same(await page('state=corrupt'), { ids: '', next: null });
  const first = await page('limit=2');
  t.equal(first.ids, 'ab');
  const second = await page(`limit=2&cursor=${first.next}`);
  t.equal(second.ids, 'cd');
  t.same(await page(`limit=2&cursor=${second.next}`), { ids: 'e', next: null });
  for (const wrong of [
    'limit=0',
    'limit=1001',
    'limit=x',
    'state=gone',
    'cursor=%20',
    'cursor=!!',
    'order=up',
    'limit=1&limit=2',
  ]) {
    t.equal((await get(worker, `/v1/shards?${wrong}`)).json().code, 'INVALID_PARAMS', wrong);
  }
});

t.test('a shard is returned, verified and released by its id', async (t) => {
  const worker = await startWorker(t);
  const committed = await upload(worker, 'a', patternBytes(10));
  const { corrupt_ranges, ...shard } = (await get(worker, '/v1/shards/a')).json();
  t.same(shard, committed.json().shard);
  t.equal(corrupt_ranges, undefined, 'only a corrupt shard has ranges');
  for (const body of [undefined, {}]) {
    const verified = await post(worker, '/v1/shards/a/verify', body);
    t.match(verified.json(), {
      shard_id: 'a',
      verified: true,
      checks: { signature: true, residency: true, tree_digest: true },
      bytes: 10,
      duration_ms: Number,
      corrupt_ranges: [],
    });
  }
  t.equal((await post(worker, '/v1/shards/a/verify', { more: 1 })).json().code, 'INVALID_PARAMS');
  const body = await worker.inject({ method: 'DELETE', url: '/v1/shards/a', payload: {} });
  t.equal(body.json().code, 'INVALID_PARAMS', 'a release takes no body');
  const released = await remove(worker, '/v1/shards/a');
  t.equal(released.statusCode, 204);
  t.equal(released.body, '');
  for (const answer of [
    await get(worker, '/v1/shards/a'),
    await post(worker, '/v1/shards/a/verify'),
    await remove(worker, '/v1/shards/a'),
  ]) {
    t.equal(answer.json().code, 'NOT_FOUND');
  }
});

t.test('a shard id is 1 to 256 letters, digits and hyphens in path, query and body', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '1000000' } });
  const good = fc.stringMatching(/^[A-Za-z0-9-]{1,256}$/);
  const evil = fc.constantFrom('..', '../..', 'a/b', 'a\\b', 'a\0', '\n', 'a b', 'ä', 'a.b', 'x'.repeat(257), '%', '/');
  const ids = fc.oneof(good, evil, fc.string({ minLength: 1, maxLength: 300, unit: 'binary' }));
  await fc.assert(
    fc.asyncProperty(ids, async (id) => {
      const allowed = /^[A-Za-z0-9-]{1,256}$/.test(id);
      // The client removes a path segment of dots.
      const path = await get(worker, `/v1/shards/${/^\.+$/.test(id) ? '%20' : encodeURIComponent(id)}`);
      const query = await upload(worker, id, Buffer.alloc(1), { reservation_id: 'absent' });
      const body = await post(worker, '/v1/commit', {
        shard_id: id,
        model_ref: 'm',
        source: { type: 'file', path: 'x' },
      });
      t.equal(path.json().code, allowed ? 'NOT_FOUND' : 'INVALID_PARAMS', JSON.stringify(id));
      t.equal(query.json().code, allowed ? 'NOT_FOUND' : 'INVALID_PARAMS');
      t.match(body.json(), { code: 'INVALID_PARAMS', detail: allowed ? /WORKER_MODEL_DIR/ : /shard_id/ });
    }),
    { numRuns: 150, examples: [['..'], ['x'.repeat(256)], ['a\0']] },
  );
});
