import { symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { issueSeal } from '../../../src/residency/handle/issue.js';
import { KeyRotation } from '../../../src/residency/handle/key_rotation.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { digestOf } from '../../../src/seal/digest.js';
import { verifyHandle as verifySignature } from '../../../src/seal/handle.js';
import { verifyJws } from '../../../src/seal/jws.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { linesOf } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { Clocks } from '../../support/clock.js';
import { claimsOf, currentHandle, kidOf, verifyHandle } from '../../support/handles.js';
import { newPrivateKey, signingWithEd25519 } from '../../support/key_files.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { startWorker, token } from '../../support/worker.js';

const bytes = patternBytes(5000);
const firstSecret = Buffer.from(token);
const secondSecret = Buffer.from('another-secret-0123456789abcdef012345');
const thirdSecret = Buffer.from('a-third-secret-0123456789abcdef0123456');

t.test('a rotation reissues the handles, and the previous ones stay valid for the grace', async (t) => {
  const worker = await startWorker(t);
  const { handle: old } = (await upload(worker, 'a', bytes)).json();
  const before = (await get(worker, '/v1/ready')).headers.etag;

  t.equal(await worker.residency.sealKey.rotate(secondSecret), true);
  const current = await currentHandle(worker);
  t.equal(kidOf(current), deriveSealKey(secondSecret, 'worker-1').kid);
  const { jti, prev, iat, ...rest } = claimsOf(current);
  const { jti: oldJti, iat: oldIat, ...oldRest } = claimsOf(old);
  t.equal(prev, oldJti, 'the new handle names the previous one');
  t.not(jti, oldJti);
  t.ok(iat >= oldIat);
  t.same(rest, oldRest, 'the other claims are the same');
  t.not((await get(worker, '/v1/ready')).headers.etag, before, 'a client that polls ready sees the change');

  t.match(await verifyHandle(worker, old), { valid: true, reason: null, claims: { jti: oldJti } });
  t.match(await verifyHandle(worker, current), { valid: true, reason: null });
  const retry = (await upload(worker, 'a', bytes)).json();
  t.equal(retry.handle, current, 'a repeated commit gets the current handle');
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true, checks: { signature: true } });
  const { attestation } = (await get(worker, '/v1/ready?nonce=n')).json();
  const attested = verifyJws('vram-attestation+jws', attestation, deriveSealKey(secondSecret, 'worker-1'));
  t.match(attested, { ok: true, claims: { nonce: 'n', shards: [{ jti }] } });

  await remove(worker, '/v1/shards/a');
  for (const handle of [old, current]) {
    t.match(await verifyHandle(worker, handle), { valid: false, reason: 'unknown_shard' });
  }
  await upload(worker, 'a', bytes);
  for (const handle of [old, current]) {
    t.match(await verifyHandle(worker, handle), { valid: false, reason: 'superseded' });
  }
});

t.test('a worker can rotate several times, also to an earlier key', async (t) => {
  const worker = await startWorker(t);
  const { handle: one } = (await upload(worker, 'a', bytes)).json();
  const { sealKey } = worker.residency;
  t.equal(await sealKey.rotate(firstSecret), false, 'it is the current key');
  t.equal(await currentHandle(worker), one, 'no handle is reissued');
  await sealKey.rotate(secondSecret);
  const two = await currentHandle(worker);
  await sealKey.rotate(thirdSecret);
  const three = await currentHandle(worker);
  await sealKey.rotate(firstSecret);
  const four = await currentHandle(worker);
  t.equal(kidOf(four), kidOf(one));
  t.not(four, one);
  t.same(
    [two, three, four].map((handle) => claimsOf(handle).prev),
    [one, two, three].map((handle) => claimsOf(handle).jti),
  );
  for (const handle of [one, two, three, four]) {
    t.match(await verifyHandle(worker, handle), { valid: true, reason: null });
  }

  for (let round = 0; round < 12; round++) await sealKey.rotate(Buffer.alloc(40, `round ${round} `));
  const verdict = await verifyHandle(worker, two);
  t.same(verdict, { valid: false, reason: 'unknown_key', claims: null }, 'the oldest of many keys no longer verify');
});

t.test('a rotation does not reissue the handle of a corrupt shard', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const { handle } = (await upload(worker, 'a', bytes)).json();
  simulator.spoofs('memory_type=1');
  t.teardown(() => simulator.reset());
  await post(worker, '/v1/shards/a/verify');
  await worker.residency.sealKey.rotate(secondSecret);
  t.match(await verifyHandle(worker, handle), { valid: false, reason: 'not_sealed' });
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { checks: { signature: true, residency: false } });
});

t.test('a rotation that the audit log cannot record changes nothing and can be retried', async (t) => {
  const log = join(temporaryDirectory(t), 'audit.jsonl');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: log } });
  const { handle } = (await upload(worker, 'a', bytes)).json();
  unlinkSync(log);
  symlinkSync('/dev/full', log);
  await t.rejects(worker.residency.sealKey.rotate(secondSecret), { code: 'AUDIT_UNAVAILABLE' });
  t.match(await verifyHandle(worker, handle), { valid: true });
  t.equal(await currentHandle(worker), handle);
  unlinkSync(log);
  t.equal(await worker.residency.sealKey.rotate(secondSecret), true);
  const entries = linesOf(log).map((line) => JSON.parse(line));
  t.match(
    entries.filter(({ event }) => event === 'SealKeyRotated' || event === 'VramSealed'),
    [
      { event: 'SealKeyRotated', kid: deriveSealKey(secondSecret, 'worker-1').kid, previous_kid: kidOf(handle) },
      { event: 'VramSealed', shard_id: 'a', prev: claimsOf(handle).jti },
    ],
  );
});

const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 1024, freeBytes: 1024, granularityBytes: 1 };

function sealedShard(shardId: string, signer: Signer): Shard {
  const identity = { shardId, modelRef: 'm', shardIndex: 0, totalShards: 1 };
  const memory = new DeviceMemory(0, figures, async () => figures);
  const shard = new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
  const proof = { digest: null, treeDigest: digestOf(Buffer.alloc(32)), groupHashes: Buffer.alloc(32) };
  shard.beginSealing();
  const verifiedAt = { wallMs: 1, monotonicMs: 1 };
  shard.markSealed(issueSeal(shard, { ...proof, expected: 'none', expectedBy: null, verifiedAt }, signer));
  return shard;
}

/** A rotation over sealed shards. The audit log refuses entries about those shards for which `log.refuses` has an error. */
function rotationOf(count: number) {
  const signer = new Signer('worker-1', 'simulated', deriveSealKey(firstSecret, 'worker-1'));
  const shards = Array.from({ length: count }, (_, index) => sealedShard(`s-${index}`, signer));
  const log = { refuses: (_shard: Shard): WorkerError | undefined => undefined };
  const worker = {
    signer,
    options: { workerId: 'worker-1', sealAlgorithm: 'HS256', keyGraceSeconds: 0 },
    shards: {
      signedByOthers: (kid: string) => shards.filter(({ seal }) => seal?.kid !== kid),
      isKeyInUse: (kid: string) => shards.some(({ seal }) => seal?.kid === kid),
    },
    audit: { appendRequired: async () => undefined },
    shardAudit: {
      appendRequired: async (_event: string, shard: Shard) => {
        const error = log.refuses(shard);
        if (error !== undefined) throw error;
      },
    },
    lifecycle: { bumpRevision: () => undefined },
  };
  const reissued = () => shards.filter(({ seal }) => seal?.kid === signer.key.kid).length;
  return { rotation: new KeyRotation(worker as never), signer, shards, log, reissued };
}

const unavailable = () => new WorkerError('AUDIT_UNAVAILABLE', 'full');
/** More than the worker signs in one turn of the event loop. */
const many = 129;

t.test('a handle is reissued when the audit log is writable again, and its key is kept until then', async (t) => {
  const { rotation, signer, shards, log, reissued } = rotationOf(1);
  const seal = shards[0]?.seal;
  t.ok(seal);
  const { kid = '', handle = '' } = seal ?? {};
  log.refuses = unavailable;
  await rotation.rotate(secondSecret);
  await rotation.tick();
  t.equal(shards[0]?.seal?.handle, handle);
  t.equal(signer.keyring.find(kid), undefined, 'the previous key verifies no handle that a client presents');
  t.equal(verifySignature(handle, signer.keyring.findOwn).ok, true, "the previous key verifies the worker's handle");
  log.refuses = () => undefined;
  await rotation.tick();
  t.equal(reissued(), 1);
  t.equal(signer.keyring.findOwn(kid), undefined, 'the previous key is dropped');
  rotation.wipe();
  t.ok(signer.key.alg === 'HS256' && signer.key.secret.equals(Buffer.alloc(32)), 'a wipe overwrites the current key');
});

t.test('without a grace, the previous handle is invalid from the moment of the rotation', async (t) => {
  const { rotation, shards } = rotationOf(1);
  Clocks.take(t);
  await rotation.rotate(secondSecret);
  t.same(shards[0]?.seal?.previous, []);
});

t.test('a rotation over many shards waits for an audit log that is not writable', async (t) => {
  const { rotation, log, reissued } = rotationOf(many);
  let refused = 0;
  log.refuses = () => {
    refused++;
    return unavailable();
  };
  await rotation.rotate(secondSecret);
  t.ok(refused < many, 'it does not try every shard');
  log.refuses = () => undefined;
  await rotation.tick();
  t.equal(reissued(), many);
});

t.test('a shard whose handle cannot be reissued delays no other', async (t) => {
  const { rotation, shards, log, reissued } = rotationOf(many);
  log.refuses = (shard) => (shard === shards[0] ? new WorkerError('SHARD_BUSY', 'busy') : undefined);
  await rotation.rotate(secondSecret);
  t.equal(reissued(), many - 1);
});

t.test('a worker refuses the handle of another worker that shares its private key', async (t) => {
  const env = signingWithEd25519(t);
  const worker = await startWorker(t, { env });
  const { handle } = (await upload(worker, 'a', bytes)).json();
  const other = await startWorker(t, { env: { ...env, WORKER_ID: 'worker-2' } });
  await upload(other, 'a', bytes);
  t.same(await verifyHandle(other, handle), { valid: false, reason: 'unknown_key', claims: null });
  t.match(await verifyHandle(worker, handle), { valid: true });
});

t.test('an Ed25519 private key is rotated like a secret', async (t) => {
  const worker = await startWorker(t, { env: signingWithEd25519(t) });
  const { handle } = (await upload(worker, 'a', bytes)).json();
  await t.rejects(worker.residency.sealKey.rotate(secondSecret), { name: 'TypeError' });
  await worker.residency.sealKey.rotate(newPrivateKey('der'));
  const current = await currentHandle(worker);
  t.not(kidOf(current), kidOf(handle));
  for (const one of [handle, current]) t.match(await verifyHandle(worker, one), { valid: true });
});
