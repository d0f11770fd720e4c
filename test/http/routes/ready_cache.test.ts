import { randomBytes } from 'node:crypto';
import t from 'tap';
import { ReadyCache } from '../../../src/http/routes/ready_cache.js';
import type { ReadyResponse } from '../../../src/http/routes/ready_response.js';
import { momentNow } from '../../../src/vram/moment.js';
import { patternBytes } from '../../support/bytes.js';
import { damage } from '../../support/damage.js';
import { claimsOf } from '../../support/handles.js';
import { get, post, upload } from '../../support/requests.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});

const query = () => ({
  withHandles: true,
  askedAt: momentNow(),
  actor: { name: 'operator', requestId: 'r' } as const,
});

/** Calls `after` after each report. */
function onReport({ residency }: TestWorker, after: () => void): void {
  const ready = residency.ready.bind(residency);
  residency.ready = async (asked) => {
    const report = await ready(asked);
    return async () => {
      const made = await report();
      after();
      return made;
    };
  };
}

t.test('polls before a report share it, and polls after a change get the next one', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10));
  const cache = new ReadyCache(worker.residency);
  const states = async (polls: (ReadyResponse | Promise<ReadyResponse>)[]) =>
    (await Promise.all(polls)).map(({ body }) => JSON.parse(String(body)).scrub.state);
  const later: (ReadyResponse | Promise<ReadyResponse>)[] = [];
  let reports = 0;
  onReport(worker, () => {
    if (++reports > 1) return;
    worker.residency.pauseScrub(true);
    later.push(cache.get(query()), cache.get(query()));
  });
  t.same(await states([cache.get(query()), cache.get(query())]), ['waiting', 'waiting']);
  t.same(await states(later), ['paused', 'paused'], 'no response is older than its request');
  t.same(await states([cache.get(query())]), ['paused']);
  t.equal(reports, 2);
});

t.test('a poll that failed does not fail the next one', async (t) => {
  const worker = await startWorker(t);
  const ready = worker.residency.ready.bind(worker.residency);
  worker.residency.ready = async () => {
    worker.residency.ready = ready;
    throw new Error('failed');
  };
  const cache = new ReadyCache(worker.residency);
  await t.rejects(async () => cache.get(query()), { message: 'failed' });
  t.equal((await cache.get(query())).status, 503);
});

t.test('a response is never ready if the worker stopped being ready while it was serialized', async (t) => {
  for (const question of [{}, { nonce: 'n' }, { maxAgeSeconds: 60 }]) {
    const worker = await startWorker(t);
    await upload(worker, 'a', patternBytes(10));
    let reports = 0;
    onReport(worker, () => {
      if (++reports === 1) worker.residency.drain();
    });
    const { status, body } = await new ReadyCache(worker.residency).get({ ...query(), ...question });
    t.equal(status, 503);
    t.match(JSON.parse(String(body)), { ready: false, reasons: [{ code: 'DRAINING' }] });
    t.equal(reports, 2);
  }
});

t.test('questions about one state share its report, and clients that have left get no answer', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10));
  const cache = new ReadyCache(worker.residency);
  let reports = 0;
  onReport(worker, () => {
    reports++;
  });
  const ask = async (gone: boolean, index: number) => {
    const question = { ...query(), nonce: `n${index}` };
    const { body } = await cache.attested(question, () => gone);
    return JSON.parse(String(Buffer.concat(body)));
  };
  const [first, second, third] = await Promise.allSettled([false, true, false].map(ask));
  t.match(first, { status: 'fulfilled', value: { ready: true, attestation: String } });
  t.match(second, { status: 'rejected', reason: { code: 'LENGTH_MISMATCH' } });
  t.match(third, { status: 'fulfilled' });
  t.match(await ask(false, 4), { ready: true });
  t.equal(reports, 1);
});

t.test('an attestation of a state that is over is dated after its question', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(10));
  const cache = new ReadyCache(worker.residency);
  await cache.get(query());
  const askedAt = { ...momentNow(), wallMs: Date.now() + 60_000 };
  const { body } = await cache.attested({ ...query(), askedAt, nonce: 'n' }, () => {
    worker.residency.pauseScrub(true);
    return false;
  });
  const { iat, ready } = claimsOf(JSON.parse(String(Buffer.concat(body))).attestation);
  t.same([iat, ready], [Math.floor(askedAt.wallMs / 1000), true]);
});

t.test('the serialized response equals the state after each change of a shard', async (t) => {
  const worker = await startWorker(t);
  for (const id of ['b', 'a']) await upload(worker, id, patternBytes(10), { model_ref: `model-${id}` });
  const seen = async () => (await get(worker, '/v1/ready')).json();
  for (const change of ['none', 'verify', 'release'] as const) {
    if (change === 'verify') await worker.inject({ method: 'POST', url: '/v1/shards/a/verify' });
    if (change === 'release') await worker.inject({ method: 'DELETE', url: '/v1/shards/b' });
    const { handles } = await seen();
    const { shards } = (await get(worker, '/v1/shards')).json();
    t.same(
      handles.map(({ shard }: { shard: unknown }) => shard),
      shards,
      change,
    );
  }
});

t.test('whether a report could be ready is what the report says, also with a corrupt shard', async (t) => {
  const worker = await startWorker(t);
  const { residency } = worker;
  const readiness = async () => {
    const states: boolean[] = [];
    for (const modelRef of [undefined, 'a', 'b', 'none']) {
      const report = await residency.ready({ ...query(), ...(modelRef === undefined ? {} : { modelRef }) });
      states.push((await report()).ready);
      t.equal(residency.couldBeReady(modelRef), states.at(-1), String(modelRef));
    }
    return states;
  };
  t.same(await readiness(), [false, false, false, false]);
  const bytes = randomBytes(5000);
  await upload(worker, 'a', patternBytes(10), { model_ref: 'a' });
  await upload(worker, 'b', bytes, { model_ref: 'b' });
  t.same(await readiness(), [true, true, true, false]);
  const { gpu_device } = (await get(worker, '/v1/shards/b')).json();
  damage(bytes, gpu_device, 4500);
  await post(worker, '/v1/shards/b/verify');
  t.same(await readiness(), [false, true, false, false]);
  residency.drain();
  t.same(await readiness(), [false, false, false, false]);
});
