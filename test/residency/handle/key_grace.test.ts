import t from 'tap';
import { KeyRotation } from '../../../src/residency/handle/key_rotation.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { patternBytes } from '../../support/bytes.js';
import { Clocks, day } from '../../support/clock.js';
import { currentHandle, verifyHandle } from '../../support/handles.js';
import { newPrivateKey, signingWithEd25519 } from '../../support/key_files.js';
import { upload } from '../../support/requests.js';
import { startWorker, token } from '../../support/worker.js';

const bytes = patternBytes(5000);
const secret = Buffer.from('another-secret-0123456789abcdef012345');

t.test('without a grace, the previous handles are refused at once', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_KEY_GRACE_SECONDS: '0' } });
  const { handle } = (await upload(worker, 'a', bytes)).json();
  await worker.residency.sealKey.rotate(secret);
  t.same(await verifyHandle(worker, handle), { valid: false, reason: 'unknown_key', claims: null });
  t.match(await verifyHandle(worker, await currentHandle(worker)), { valid: true });
});

t.test('a restart forgets the previous key', async (t) => {
  const before = await startWorker(t);
  const { handle } = (await upload(before, 'a', bytes)).json();
  await before.residency.sealKey.rotate(secret);
  t.match(await verifyHandle(before, handle), { valid: true });
  await before.stop();
  const after = await startWorker(t, { residency: { sealSecret: Buffer.from(secret) } });
  t.same(await verifyHandle(after, handle), { valid: false, reason: 'unknown_key', claims: null });
});

t.test('the grace is measured on the monotonic clock, not on the wall clock', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_KEY_GRACE_SECONDS: '600' } });
  const { handle: old } = (await upload(worker, 'a', bytes)).json();
  await worker.residency.sealKey.rotate(secret);
  const current = await currentHandle(worker);
  const monotonicMs = performance.now.bind(performance);
  const wallMs = Date.now.bind(Date);
  let elapsedMs = 0;
  let stepMs = 0;
  t.intercept(performance, 'now', { value: () => monotonicMs() + elapsedMs, configurable: true });
  t.intercept(Date, 'now', { value: () => wallMs() + stepMs, configurable: true });
  for (const days of [-30, 30]) {
    stepMs = days * day;
    t.match(await verifyHandle(worker, old), { valid: true }, `the wall clock is ${days} days off`);
  }
  elapsedMs = 599_000;
  t.match(await verifyHandle(worker, old), { valid: true });
  elapsedMs = 601_000;
  t.same(await verifyHandle(worker, old), { valid: false, reason: 'unknown_key', claims: null });
  await worker.residency.sealKey.tick();
  t.same(await verifyHandle(worker, old), { valid: false, reason: 'unknown_key', claims: null });
  t.match(await verifyHandle(worker, current), { valid: true });
});

t.test('the grace ends to the millisecond, also for a handle whose key is current again', async (t) => {
  const clocks = Clocks.take(t);
  const worker = await startWorker(t, { env: { WORKER_KEY_GRACE_SECONDS: '600', ...signingWithEd25519(t) } });
  const { sealKey } = worker.residency;
  const { handle: first } = (await upload(worker, 'a', bytes)).json();
  const [one, two] = [newPrivateKey(), newPrivateKey()];
  await sealKey.rotate(one);
  const second = await currentHandle(worker);
  clocks.pass(1000);
  await sealKey.rotate(two);
  await sealKey.rotate(one);
  clocks.pass(598_999);
  t.match(await verifyHandle(worker, first), { valid: true });
  t.equal(sealKey.published().length, 3);
  clocks.pass(1);
  t.same(await verifyHandle(worker, first), { valid: false, reason: 'unknown_key', claims: null });
  t.equal(sealKey.published().length, 2);
  clocks.pass(999);
  t.match(await verifyHandle(worker, second), { valid: true });
  clocks.pass(1);
  const verdict = await verifyHandle(worker, second);
  t.match(verdict, { valid: false, reason: 'superseded' }, 'its key is current, but its grace is over');
  t.match(await verifyHandle(worker, await currentHandle(worker)), { valid: true });
});

t.test('the periodic pass wipes a key in the millisecond in which its grace ends', async (t) => {
  const clocks = Clocks.take(t);
  const previous = deriveSealKey(Buffer.from(token), 'worker-1');
  const rotation = new KeyRotation({
    signer: new Signer('worker-1', 'simulated', previous),
    options: { workerId: 'worker-1', sealAlgorithm: 'HS256', keyGraceSeconds: 60 },
    shards: { signedByOthers: () => [], isKeyInUse: () => false },
    audit: { appendRequired: async () => undefined },
    lifecycle: { bumpRevision: () => undefined },
  } as never);
  await rotation.rotate(secret);
  clocks.pass(59_999);
  await rotation.tick();
  t.notOk(previous.secret.equals(Buffer.alloc(32)));
  clocks.pass(1);
  await rotation.tick();
  t.ok(previous.secret.equals(Buffer.alloc(32)));
});
