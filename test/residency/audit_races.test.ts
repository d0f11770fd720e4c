import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemActor } from '../../src/audit/actor.js';
import { deriveSealKey } from '../../src/seal/key.js';
import { eventsOf, readChain } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { claimsOf, kidOf, verifyHandle } from '../support/handles.js';
import { HeldSyncs } from '../support/held_syncs.js';
import { shardsListedIn } from '../support/manifest.js';
import { availableBytes, get, post, remove, upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';

const bytes = patternBytes(5000);
const secondSecret = Buffer.from('another-secret-0123456789abcdef012345');

/** A worker with an audit log and a manifest, whose syncs can be held back. */
async function scene(t: Test, env: Record<string, string> = {}) {
  const directory = temporaryDirectory(t);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  writeFileSync(join(directory, 'model'), bytes);
  const files = { WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest, WORKER_MODEL_DIR: directory };
  const worker = await startWorker(t, { env: { ...files, ...env } });
  const syncs = HeldSyncs.take(t);
  /** Resolves when an event is in the file, and its sync is held back. */
  const written = (event: string) =>
    until(() => readFileSync(log, 'utf8').includes(`"event":"${event}"`) && syncs.held > 0);
  return { worker, log, manifest, syncs, written };
}

t.test('nothing is visible before its entry is synced', async (t) => {
  const { worker, syncs, written } = await scene(t);
  await upload(worker, 'a', bytes);
  syncs.hold();
  let answered = false;
  const verifying = post(worker, '/v1/shards/a/verify').finally(() => (answered = true));
  await written('SealVerified');
  t.equal((await get(worker, '/livez')).statusCode, 200, 'other requests are answered');
  t.notOk(answered);
  syncs.letGo();
  t.equal((await verifying).json().verified, true);
});

t.test('a second release during the entry of the first is refused, and has no entry', async (t) => {
  const { worker, log, manifest, syncs } = await scene(t);
  await upload(worker, 'a', bytes);
  syncs.hold();
  const first = worker.residency.release('a', systemActor);
  await t.rejects(worker.residency.release('a', systemActor), { code: 'SHARD_BUSY' });
  t.equal(
    (await get(worker, '/v1/shards/a')).json().state,
    'sealed',
    'the shard is resident until the entry is synced',
  );
  syncs.letGo();
  await first;
  t.equal(eventsOf(log).filter((event) => event === 'VramDeallocated').length, 1);
  t.same(shardsListedIn(manifest), []);
});

t.test('a release during the entry of a seal is refused, and a stop then undoes the commit', async (t) => {
  const { worker, log, manifest, syncs, written } = await scene(t);
  const before = await availableBytes(worker);
  syncs.hold();
  const committing = upload(worker, 'a', bytes);
  await written('VramAllocated');
  syncs.letGo();
  syncs.hold();
  await written('VramSealed');
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 409, code: 'SHARD_BUSY' });
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'sealing');
  syncs.letGo();
  t.equal((await committing).statusCode, 201);
  t.match(shardsListedIn(manifest), [{ shard_id: 'a' }]);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);
  t.same(eventsOf(log).slice(1), ['VramAllocated', 'VramSealed', 'VramDeallocated']);
});

t.test('a release during the manifest record of a seal or of another release is refused', async (t) => {
  const { worker, log, manifest, syncs } = await scene(t);
  syncs.hold(manifest);
  const committing = upload(worker, 'a', bytes);
  await until(() => shardsListedIn(manifest).length === 1 && syncs.held > 0);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 409, code: 'SHARD_BUSY' });
  syncs.letGo();
  t.equal((await committing).statusCode, 201);
  syncs.hold(manifest);
  const releasing = remove(worker, '/v1/shards/a');
  await until(() => shardsListedIn(manifest).length === 0 && syncs.held > 0);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 409, code: 'SHARD_BUSY' });
  t.match((await upload(worker, 'a', bytes)).json(), { status: 409, code: 'SHARD_BUSY' });
  syncs.letGo();
  t.equal((await releasing).statusCode, 204);
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 404);
  t.same(eventsOf(log).slice(1), ['VramAllocated', 'VramSealed', 'VramDeallocated']);
});

t.test('a key rotation during the entry of a seal: the client gets a handle of the new key', async (t) => {
  const { worker, log, syncs, written } = await scene(t, { WORKER_KEY_GRACE_SECONDS: '0' });
  syncs.hold();
  const committing = upload(worker, 'a', bytes);
  await written('VramAllocated');
  const rotating = worker.residency.sealKey.rotate(secondSecret);
  syncs.letGo();
  const { handle } = (await committing).json();
  await rotating;
  t.equal(kidOf(handle), deriveSealKey(secondSecret, 'worker-1').kid);
  t.match(await verifyHandle(worker, handle), { valid: true });
  const sealed = readChain(log).filter(({ event }) => event === 'VramSealed');
  t.equal(sealed.at(-1)?.jti, claimsOf(handle).jti, 'its entry is the last one');
});

t.test('a key rotation during the manifest record of a seal: the handle of the answer is current', async (t) => {
  const { worker, manifest, syncs } = await scene(t, { WORKER_KEY_GRACE_SECONDS: '0' });
  syncs.hold(manifest);
  const committing = upload(worker, 'a', bytes);
  await until(() => shardsListedIn(manifest).length === 1 && syncs.held > 0);
  await worker.residency.sealKey.rotate(secondSecret);
  await worker.residency.sealKey.tick();
  syncs.letGo();
  const { handle } = (await committing).json();
  t.equal(kidOf(handle), deriveSealKey(secondSecret, 'worker-1').kid);
  t.match(await verifyHandle(worker, handle), { valid: true });
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true });
});

t.test('a rotation without a grace: ready lists no handle that is not valid, and no other one is', async (t) => {
  const { worker, log, syncs } = await scene(t, { WORKER_KEY_GRACE_SECONDS: '0' });
  const { handle: old } = (await upload(worker, 'a', bytes)).json();
  const removed = (await upload(worker, 'b', bytes)).json().handle;
  await remove(worker, '/v1/shards/b');
  const rotating = worker.residency.sealKey.rotate(secondSecret);
  syncs.hold();
  await until(() => readFileSync(log, 'utf8').includes('SealKeyRotated') && syncs.held > 0);
  syncs.letGo();
  syncs.hold();
  await until(() => eventsOf(log).at(-1) === 'VramSealed' && syncs.held > 0);
  t.equal((await get(worker, '/v1/ready')).json().handles[0].handle, old, 'the shard has no other handle yet');
  t.match(await verifyHandle(worker, old), { valid: true });
  t.match(await verifyHandle(worker, removed), { valid: false, reason: 'unknown_key' });
  syncs.letGo();
  await rotating;
  t.match(await verifyHandle(worker, old), { valid: false, reason: 'unknown_key' });
  t.match(await verifyHandle(worker, (await get(worker, '/v1/ready')).json().handles[0].handle), { valid: true });
});

t.test('a release during the entry of a reissued handle leaves no handle behind', async (t) => {
  const { worker, log, syncs } = await scene(t);
  await upload(worker, 'a', bytes);
  const rotating = worker.residency.sealKey.rotate(secondSecret);
  await until(() => readFileSync(log, 'utf8').includes('SealKeyRotated'));
  syncs.hold();
  const released = remove(worker, '/v1/shards/a');
  syncs.letGo();
  t.equal((await released).statusCode, 204);
  t.equal(await rotating, true);
  t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  const ends = readChain(log).filter(({ event }) => /VramSealed|VramDeallocated|EffectAborted/.test(event));
  t.match(ends.at(-1)?.event ?? '', /VramDeallocated|EffectAborted/, 'the last entry about the shard is not a seal');
});
