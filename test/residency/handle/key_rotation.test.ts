import { readFileSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { issueSeal } from '../../../src/residency/handle/issue.js';
import { KeyRotation } from '../../../src/residency/handle/key_rotation.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { Keyring } from '../../../src/residency/state/keyring.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { digestOf } from '../../../src/seal/digest.js';
import { verifyHandle } from '../../../src/seal/handle.js';
import { verifyJws } from '../../../src/seal/jws.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { patternBytes } from '../../support/bytes.js';
import { Clocks } from '../../support/clock.js';
import { newPrivateKey, signingWithEd25519 } from '../../support/key_files.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { simulator } from '../../support/simulator.js';
import { startWorker, type TestWorker, token } from '../../support/worker.js';

const a = patternBytes(5000);
const first = Buffer.from(token);
const second = Buffer.from('another-secret-0123456789abcdef012345');
const third = Buffer.from('a-third-secret-0123456789abcdef0123456');

const judge = async (worker: TestWorker, handle: string) =>
  (await post(worker, '/v1/handles/verify', { handle })).json();
const handleOf = async (worker: TestWorker): Promise<string> =>
  (await get(worker, '/v1/ready')).json().handles[0].handle;
const claimsOf = (handle: string) => JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString());
const kidOf = (handle: string) => JSON.parse(Buffer.from(handle.split('.')[0] ?? '', 'base64url').toString()).kid;

t.test('another seal key: handles are signed anew, those of before stay valid for the grace', async (t) => {
  const worker = await startWorker(t);
  const { handle: old } = (await upload(worker, 'a', a)).json();
  const before = (await get(worker, '/v1/ready')).headers.etag;

  t.equal(worker.residency.sealKey.rotate(second), true);
  const current = await handleOf(worker);
  t.equal(kidOf(current), deriveSealKey(second, 'worker-1').kid);
  const { jti, prev, iat, ...rest } = claimsOf(current);
  const { jti: oldJti, iat: oldIat, ...oldRest } = claimsOf(old);
  t.equal(prev, oldJti, 'it names the one before it');
  t.not(jti, oldJti);
  t.ok(iat >= oldIat);
  t.same(rest, oldRest, 'and states the same');
  t.not((await get(worker, '/v1/ready')).headers.etag, before, 'pollers see it');

  t.match(await judge(worker, old), { valid: true, reason: null, claims: { jti: oldJti } });
  t.match(await judge(worker, current), { valid: true, reason: null });
  const retry = (await upload(worker, 'a', a)).json();
  t.equal(retry.handle, current, 'a retry is given the current one');
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true, checks: { signature: true } });
  const { attestation } = (await get(worker, '/v1/ready?nonce=n')).json();
  const attested = verifyJws('vram-attestation+jws', attestation, deriveSealKey(second, 'worker-1'));
  t.match(attested, { ok: true, claims: { nonce: 'n', shards: [{ jti }] } });

  await remove(worker, '/v1/shards/a');
  for (const handle of [old, current]) t.match(await judge(worker, handle), { valid: false, reason: 'unknown_shard' });
  await upload(worker, 'a', a);
  for (const handle of [old, current]) t.match(await judge(worker, handle), { valid: false, reason: 'superseded' });
});

t.test('without a grace the handles of before are refused at once', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_KEY_GRACE_SECONDS: '0' } });
  const { handle } = (await upload(worker, 'a', a)).json();
  worker.residency.sealKey.rotate(second);
  t.same(await judge(worker, handle), { valid: false, reason: 'unknown_key', claims: null });
  t.match(await judge(worker, await handleOf(worker)), { valid: true });
});

t.test('when the grace is over, whatever the clock on the wall says, the key of before is unknown', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_KEY_GRACE_SECONDS: '600' } });
  const { handle: old } = (await upload(worker, 'a', a)).json();
  worker.residency.sealKey.rotate(second);
  const current = await handleOf(worker);
  const now = performance.now.bind(performance);
  const today = Date.now.bind(Date);
  let laterMs = 0;
  let wallMs = 0;
  t.intercept(performance, 'now', { value: () => now() + laterMs, configurable: true });
  t.intercept(Date, 'now', { value: () => today() + wallMs, configurable: true });
  for (const days of [-30, 30]) {
    wallMs = days * 86_400_000;
    t.match(await judge(worker, old), { valid: true }, `the clock is ${days} days off`);
  }
  laterMs = 599_000;
  t.match(await judge(worker, old), { valid: true });
  laterMs = 601_000;
  t.same(await judge(worker, old), { valid: false, reason: 'unknown_key', claims: null });
  worker.residency.sealKey.tick();
  t.same(await judge(worker, old), { valid: false, reason: 'unknown_key', claims: null });
  t.match(await judge(worker, current), { valid: true });
});

t.test('a grace ends at its last millisecond, also for a handle whose key has come back', async (t) => {
  const clocks = Clocks.take(t);
  const worker = await startWorker(t, { env: { WORKER_KEY_GRACE_SECONDS: '600', ...signingWithEd25519(t) } });
  const { sealKey } = worker.residency;
  const { handle } = (await upload(worker, 'a', a)).json();
  const [one, two] = [newPrivateKey(), newPrivateKey()];
  sealKey.rotate(one);
  const second = await handleOf(worker);
  clocks.pass(1000);
  sealKey.rotate(two);
  sealKey.rotate(one);
  clocks.pass(598_999);
  t.match(await judge(worker, handle), { valid: true });
  t.equal(sealKey.published().length, 3);
  clocks.pass(1);
  t.same(await judge(worker, handle), { valid: false, reason: 'unknown_key', claims: null });
  t.equal(sealKey.published().length, 2);
  clocks.pass(999);
  t.match(await judge(worker, second), { valid: true });
  clocks.pass(1);
  t.match(await judge(worker, second), { valid: false, reason: 'superseded' }, 'its key verifies; it stands no more');
  t.match(await judge(worker, await handleOf(worker)), { valid: true });
});

t.test('a key that comes back, and one after another', async (t) => {
  const worker = await startWorker(t);
  const { handle: one } = (await upload(worker, 'a', a)).json();
  const { sealKey } = worker.residency;
  t.equal(sealKey.rotate(first), false, 'it signs already');
  t.equal(await handleOf(worker), one, 'and nothing is signed anew');
  sealKey.rotate(second);
  const two = await handleOf(worker);
  sealKey.rotate(third);
  const three = await handleOf(worker);
  sealKey.rotate(first);
  const four = await handleOf(worker);
  t.equal(kidOf(four), kidOf(one));
  t.not(four, one);
  t.same(
    [two, three, four].map((handle) => claimsOf(handle).prev),
    [one, two, three].map((handle) => claimsOf(handle).jti),
  );
  for (const handle of [one, two, three, four]) t.match(await judge(worker, handle), { valid: true, reason: null });

  for (let round = 0; round < 12; round++) sealKey.rotate(Buffer.alloc(40, `round ${round} `));
  t.same(await judge(worker, two), { valid: false, reason: 'unknown_key', claims: null }, 'of many, the oldest go');
});

t.test('a damaged shard gets no new handle', async (t) => {
  const worker = await startWorker(t);
  const { handle } = (await upload(worker, 'a', a)).json();
  simulator.spoofs('memory_type=1');
  t.teardown(() => simulator.reset());
  await post(worker, '/v1/shards/a/verify');
  worker.residency.sealKey.rotate(second);
  t.match(await judge(worker, handle), { valid: false, reason: 'not_sealed' });
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { checks: { signature: true, residency: false } });
});

t.test('what can not be written down does not happen: the key and the handles stay until it can', async (t) => {
  const log = join(t.testdir({}), 'audit.jsonl');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: log } });
  const { handle } = (await upload(worker, 'a', a)).json();
  unlinkSync(log);
  symlinkSync('/dev/full', log);
  t.throws(() => worker.residency.sealKey.rotate(second), { code: 'AUDIT_UNAVAILABLE' });
  t.match(await judge(worker, handle), { valid: true });
  t.equal((await get(worker, '/v1/ready')).json().handles[0].handle, handle);
  unlinkSync(log);
  t.equal(worker.residency.sealKey.rotate(second), true);
  const lines = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(
    lines.filter(({ event }) => event === 'SealKeyRotated' || event === 'VramSealed'),
    [
      { event: 'SealKeyRotated', kid: deriveSealKey(second, 'worker-1').kid, previous_kid: kidOf(handle) },
      { event: 'VramSealed', shard_id: 'a', prev: claimsOf(handle).jti },
    ],
  );
});

t.test('handles that could not be written down follow when they can be, and their key stays until then', async (t) => {
  const signer = new Signer('worker-1', 'simulated', deriveSealKey(first, 'worker-1'));
  const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 8, freeBytes: 8, granularityBytes: 1 };
  const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };
  const memory = new DeviceMemory(0, figures, async () => figures);
  const shard = new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
  const proof = { digest: null, treeDigest: digestOf(Buffer.alloc(32)), groupHashes: Buffer.alloc(32) };
  const seal = issueSeal(shard, { ...proof, expected: 'none' }, signer);
  shard.beginSealing();
  shard.markSealed(seal);
  let writable = false;
  const state = {
    signer,
    options: { workerId: 'worker-1', sealAlgorithm: 'HS256', keyGraceSeconds: 0 },
    shards: { all: () => [shard] },
    audit: { appendRequired: () => undefined },
    shardAudit: {
      appendRequired: () => {
        if (!writable) throw new WorkerError('AUDIT_UNAVAILABLE', 'full');
      },
    },
    lifecycle: { bumpRevision: () => undefined },
  };
  const rotation = new KeyRotation(state as never);
  rotation.rotate(second);
  rotation.tick();
  t.equal(shard.seal?.handle, seal.handle);
  t.equal(signer.keyring.find(seal.kid), undefined, 'the key of before verifies nothing that others bring');
  t.equal(verifyHandle(seal.handle, signer.keyring.findOwn).ok, true, 'but our own handle is still sound');
  writable = true;
  rotation.tick();
  t.equal(shard.seal?.kid, signer.key.kid);
  t.equal(signer.keyring.findOwn(seal.kid), undefined, 'then it is gone');
  rotation.wipe();
  t.ok(signer.key.alg === 'HS256' && signer.key.secret.equals(Buffer.alloc(32)), 'at the end the last one is');
});

t.test('a key that is gone is overwritten, and at the end all are', async (t) => {
  const [one, two] = [deriveSealKey(first, 'w'), deriveSealKey(second, 'w')];
  const ring = new Keyring(one);
  ring.rotate(two, performance.now() + 60_000, () => false);
  ring.dropExpired(() => false);
  t.notOk(one.secret.equals(Buffer.alloc(32)), 'within its grace it is kept');
  ring.rotate(deriveSealKey(third, 'w'), 0, () => false);
  ring.dropExpired(() => false);
  t.ok(two.secret.equals(Buffer.alloc(32)));
  ring.wipe();
  t.ok(one.secret.equals(Buffer.alloc(32)));
  t.ok(ring.current.alg === 'HS256' && ring.current.secret.equals(Buffer.alloc(32)));
});

t.test('a key whose time is over is overwritten by the sweep of that millisecond', async (t) => {
  const clocks = Clocks.take(t);
  const one = deriveSealKey(first, 'worker-1');
  const rotation = new KeyRotation({
    signer: new Signer('worker-1', 'simulated', one),
    options: { workerId: 'worker-1', sealAlgorithm: 'HS256', keyGraceSeconds: 60 },
    shards: { all: () => [] },
    audit: { appendRequired: () => undefined },
    lifecycle: { bumpRevision: () => undefined },
  } as never);
  rotation.rotate(second);
  clocks.pass(59_999);
  rotation.tick();
  t.notOk(one.secret.equals(Buffer.alloc(32)));
  clocks.pass(1);
  rotation.tick();
  t.ok(one.secret.equals(Buffer.alloc(32)));
});

t.test('a private key that workers share: what another of them signed is not of this one', async (t) => {
  const env = signingWithEd25519(t);
  const worker = await startWorker(t, { env });
  const { handle } = (await upload(worker, 'a', a)).json();
  const other = await startWorker(t, { env: { ...env, WORKER_ID: 'worker-2' } });
  await upload(other, 'a', a);
  t.same(await judge(other, handle), { valid: false, reason: 'unknown_key', claims: null });
  t.match(await judge(worker, handle), { valid: true });
});

t.test('a private key is rotated like a secret', async (t) => {
  const worker = await startWorker(t, { env: signingWithEd25519(t) });
  const { handle } = (await upload(worker, 'a', a)).json();
  t.throws(() => worker.residency.sealKey.rotate(second), { name: 'TypeError' });
  worker.residency.sealKey.rotate(newPrivateKey('der'));
  const current = await handleOf(worker);
  t.not(kidOf(current), kidOf(handle));
  for (const one of [handle, current]) t.match(await judge(worker, one), { valid: true });
});
