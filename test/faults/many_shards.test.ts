import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventsOf } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { claimsOf } from '../support/handles.js';
import { HeldSyncs } from '../support/held_syncs.js';
import { get, post, remove } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { startWorker } from '../support/worker.js';
import { scale } from './scale.js';

const count = scale(300, 5000);

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DEVICES = `${2 * count + 64}MiB`;

const secret = Buffer.from('another-secret-0123456789abcdef012345');

t.test('a rotation and a shutdown with many shards need few syncs', async (t) => {
  const directory = temporaryDirectory(t);
  const log = join(directory, 'audit.log');
  writeFileSync(join(directory, 'model'), patternBytes(5000));
  const env = { WORKER_AUDIT_LOG: log, WORKER_MANIFEST: join(directory, 'manifest'), WORKER_MODEL_DIR: directory };
  const worker = await startWorker(t, { env });
  const syncs = HeldSyncs.take(t);
  const ids = Array.from({ length: count }, (_, index) => `s${index}`);
  const source = { type: 'file', path: 'model' };
  for (let start = 0; start < count; start += 20) {
    const group = ids.slice(start, start + 20);
    const commits = group.map((shard_id) => post(worker, '/v1/commit', { shard_id, model_ref: 'm', source }));
    for (const { statusCode } of await Promise.all(commits))
      if (statusCode !== 201) throw new Error(String(statusCode));
  }
  const limit = Math.ceil(count / 128) + 6;
  syncs.count = 0;
  await worker.residency.sealKey.rotate(secret);
  t.ok(syncs.count <= limit, `${syncs.count} syncs for a rotation`);
  syncs.count = 0;
  await worker.residency.sealKey.tick();
  t.equal(syncs.count, 0, 'a pass without an old handle writes nothing');
  await worker.stop();
  t.ok(syncs.count <= limit, `${syncs.count} syncs for a shutdown`);
  t.equal(eventsOf(log).filter((event) => event === 'VramDeallocated').length, count);
  t.comment(`figure: shards rotated and released with a sync for 128 ${count} of ${count}`);
});

t.test('each answer with a nonce describes one moment while shards come and go', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'model'), patternBytes(5000));
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  const source = { type: 'file', path: 'model' };
  const commit = (shard_id: string) => post(worker, '/v1/commit', { shard_id, model_ref: shard_id, source });
  for (let start = 0; start < count; start += 20) {
    const ids = Array.from({ length: 20 }, (_, index) => `s${start + index}`);
    for (const { statusCode } of await Promise.all(ids.map(commit))) t.equal(statusCode, 201);
  }
  let [isEnded, changes] = [false, 0];
  const churn = async (id: string) => {
    for (; !isEnded; changes++) {
      if ((await commit(id)).statusCode !== 201) throw new Error('commit');
      if ((await remove(worker, `/v1/shards/${id}`)).statusCode !== 204) throw new Error('release');
    }
  };
  const answers = scale(40, 1000);
  const poll = async (client: number) => {
    for (let index = 0; index < answers; index++) {
      const nonce = `${client}-${index}`;
      const [listed, hashed, plain] = await Promise.all([
        get(worker, `/v1/ready?nonce=${nonce}`),
        get(worker, `/v1/ready?handles=false&nonce=${nonce}`),
        get(worker, '/v1/ready'),
      ]);
      checkAnswer(listed.json(), nonce);
      if (!claimsOf(hashed.json().attestation).ready) throw new Error('not ready');
      const resident = plain.json().models.filter((model: { ready: boolean }) => model.ready);
      if (plain.json().handles.length !== resident.length) throw new Error('the list is not that of the models');
    }
  };
  const churning = ['a', 's0-', 'z'].map(churn);
  await Promise.all([poll(0), poll(1)]);
  isEnded = true;
  await Promise.all(churning);
  t.comment(`figure: answers during ${changes} changes that describe one moment ${2 * answers} of ${2 * answers}`);
});

interface Answer {
  readonly ready: boolean;
  readonly attestation: string;
  readonly models: readonly { model_ref: string; ready: boolean; resident_shards: number }[];
  readonly handles: readonly { handle: string; shard: { shard_id: string; state: string; last_verified_at: string } }[];
}

/** Compares the parts of an answer: the attestation, the handles, and the models, which have one shard each. */
function checkAnswer({ ready, attestation, handles, models }: Answer, nonce: string): void {
  const claims = claimsOf(attestation);
  const shards = handles.map(({ handle, shard: { shard_id, last_verified_at } }) => {
    return { shard_id, jti: claimsOf(handle).jti, last_verified_at };
  });
  assert.deepEqual(claims.shards, shards);
  assert.deepEqual([claims.ready, claims.nonce], [ready, nonce]);
  assert.ok(handles.every(({ shard }) => shard.state === 'sealed'));
  const sealed = models.filter((model) => model.resident_shards === 1);
  assert.ok(sealed.every((model) => model.ready));
  const modelRefs = models.map(({ model_ref }) => model_ref);
  assert.deepEqual(modelRefs, modelRefs.toSorted());
  assert.deepEqual(
    sealed.map(({ model_ref }) => model_ref),
    shards.map(({ shard_id }) => shard_id),
  );
}
