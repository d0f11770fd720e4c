import t from 'tap';
import { systemActor } from '../../../src/audit/actor.js';
import { earlier, momentNow } from '../../../src/vram/moment.js';
import { patternBytes } from '../../support/bytes.js';
import { Clocks, hour } from '../../support/clock.js';
import { secretFile } from '../../support/key_files.js';
import { upload } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

const reader = 'reader-token-0123456789abcdef0123456789';

t.test('the read-only token can start a verification of old shards once a minute', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_READ_TOKEN_FILE: secretFile(t, reader) } });
  const verified: string[] = [];
  worker.residency.observe({
    committed: () => undefined,
    attached: () => undefined,
    attachRefused: () => undefined,
    readopted: () => undefined,
    repaired: () => undefined,
    verified: (outcome) => void verified.push(outcome),
  });
  const ask = async (bearer: string, query = 'max_age_seconds=5') => {
    const headers = { authorization: `Bearer ${bearer}` };
    const answer = await worker.app.inject({ url: `/v1/ready?${query}`, headers });
    return answer.json();
  };
  await upload(worker, 'a', patternBytes(10));
  await upload(worker, 'b', patternBytes(20), { model_ref: 'other' });
  const clocks = Clocks.take(t);

  await ask(reader, 'max_age_seconds=5&model_ref=model');
  t.equal(verified.length, 0, 'no shard is old, and the request does not count');
  clocks.pass(10_000);
  t.match(await ask(reader), { ready: true });
  t.equal(verified.length, 2, 'one round verifies every old shard');
  clocks.pass(10_000);
  t.match(
    [await ask(reader), await ask(reader, 'max_age_seconds=5&model_ref=other&nonce=n')],
    [
      { code: 'RATE_LIMITED', retry_after_ms: Number },
      { status: 429, code: 'RATE_LIMITED', retriable: true },
    ],
    'the worker does not attest an older result under the question',
  );
  t.match(await ask(reader, 'nonce=n'), { ready: true, reasons: [] }, 'without max_age_seconds it answers');
  t.match(await ask(reader, 'max_age_seconds=30'), { ready: true, reasons: [] }, 'these results are recent enough');
  t.equal(verified.length, 2);
  await ask(worker.token);
  t.equal(verified.length, 4, 'the operator is not limited');
  clocks.pass(49_999);
  t.match(await ask(reader), { code: 'RATE_LIMITED', retry_after_ms: 1 });
  t.equal(verified.length, 4);
  clocks.pass(1);
  await Promise.all([ask(reader), ask(reader), ask(reader)]);
  t.equal(verified.length, 6, 'a minute later concurrent requests share one round');
});

t.test(
  'a shard that is sealed while a question of the read-only token is answered needs no second round',
  async (t) => {
    const worker = await startWorker(t);
    const { residency } = worker;
    await upload(worker, 'a', patternBytes(10));
    // All shards are too old for the question, whenever they are sealed.
    const askedAt = earlier(momentNow(), -hour);
    const question = { withHandles: true, limited: true, actor: systemActor, maxAgeSeconds: 1, askedAt };
    const report = await residency.ready(question);
    await upload(worker, 'b', patternBytes(20));
    const sealedAtMs = residency.shard('b').lastVerifiedAtMs ?? 0;
    t.match(await report(), { reasons: [{ code: 'VERIFICATION_FAILED' }, { code: 'VERIFICATION_FAILED' }] });
    t.ok((residency.shard('b').lastVerifiedAtMs ?? 0) > sealedAtMs, 'the new shard was verified');
    await t.rejects(residency.ready(question), { code: 'RATE_LIMITED' }, 'another question needs a round');
  },
);
