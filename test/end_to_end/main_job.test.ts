import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { referenceTreeDigest } from '../../src/seal/tree.js';
import { patternBytes } from '../support/bytes.js';
import { mebibyte, sha256 } from '../support/requests.js';
import { startWorker } from '../support/worker.js';
import { type Answer, Client } from './client.js';

const bytes = new Uint8Array(patternBytes(3 * mebibyte + 17));
const digests = { digest: sha256(bytes), tree_digest: referenceTreeDigest(bytes) };
const shard = { shard_id: 'a', model_ref: 'model' };

/** Sends the shard in one of the two ways that the worker accepts. */
type Commit = (client: Client, reservationId: string) => Promise<Answer>;

const byUpload: Commit = (client, reservationId) =>
  client.upload({ ...shard, reservation_id: reservationId, expected_digest: digests.digest }, bytes);

const byFile: Commit = (client, reservationId) =>
  client.post('/v1/commit', {
    ...shard,
    reservation_id: reservationId,
    expected_tree_digest: digests.tree_digest,
    source: { type: 'file', path: 'shard.bin' },
  });

async function availableBytes(client: Client): Promise<number[]> {
  const { body } = await client.get('/v1/devices');
  return body.devices.map((device: { available_bytes: number }) => device.available_bytes);
}

/** Reserves memory for the shard. Returns the reservation's ID. */
async function plan(t: Test, client: Client): Promise<string> {
  const { status, body } = await client.post('/v1/plan', {
    model_ref: shard.model_ref,
    model_bytes: bytes.length,
    shard_layout: 'single',
    reserve: true,
  });
  t.equal(status, 200);
  t.match(body, { feasible: true, shard_plan: [{ gpu_device: Number, vram_bytes: bytes.length }] });
  return body.reservation.reservation_id;
}

async function checkSealed(t: Test, client: Client, handle: string): Promise<void> {
  t.match(await client.get('/v1/shards/a'), { status: 200, body: { state: 'sealed', sealed: true, ...digests } });
  const report = await client.post('/v1/shards/a/verify');
  t.match(report, { status: 200, body: { verified: true, bytes: bytes.length, corrupt_ranges: [] } });
  const ready = await client.get('/v1/ready');
  t.match(ready, { status: 200, body: { ready: true, handles: [{ handle, shard: { shard_id: 'a' } }] } });
  const verdict = await client.post('/v1/handles/verify', { handle });
  t.match(verdict.body, { valid: true, reason: null, claims: { ...shard, ...digests, vram_bytes: bytes.length } });
}

async function checkReleased(t: Test, client: Client, handle: string): Promise<void> {
  t.equal((await client.get('/v1/shards/a')).status, 404);
  t.match(await client.get('/v1/ready'), { status: 503, body: { ready: false, handles: [] } });
  const verdict = await client.post('/v1/handles/verify', { handle });
  t.match(verdict.body, { valid: false, reason: 'unknown_shard' });
}

for (const [name, commit] of Object.entries({ 'by upload': byUpload, 'by file': byFile })) {
  t.test(`a shard committed ${name} is sealed, verified, proven resident and released`, async (t) => {
    const directory = t.testdir();
    writeFileSync(join(directory, 'shard.bin'), bytes);
    const worker = await startWorker(t, { listen: true, env: { WORKER_MODEL_DIR: directory } });
    const client = new Client(worker);
    const before = await availableBytes(client);

    const committed = await commit(client, await plan(t, client));
    t.equal(committed.status, 201);
    t.match(committed.body.shard, { ...shard, ...digests, state: 'sealed' });
    await checkSealed(t, client, committed.body.handle);

    t.equal((await client.delete('/v1/shards/a')).status, 204);
    await checkReleased(t, client, committed.body.handle);
    t.same(await availableBytes(client), before, 'the memory is available again');
  });
}

t.test('a shard whose bytes differ from the expected digest is refused', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const client = new Client(worker);
  const before = await availableBytes(client);
  const refused = await client.upload({ ...shard, expected_digest: sha256(Buffer.from('other')) }, bytes);
  t.match(refused, { status: 422, body: { code: 'DIGEST_MISMATCH' } });
  t.equal((await client.get('/v1/shards/a')).status, 404);
  t.same(await availableBytes(client), before);
});
