import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { head, lastBody, RawClient } from '../support/raw_http.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { TusClient, tus, uploadOf } from '../support/tus.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { long } from './scale.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(600_000);
const stride = long ? 1 : 7;
const oneSlot = { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '1' };

/** The ways in which a resumable upload ends before its seal. */
const ends: Record<string, (client: TusClient, url: string) => Promise<unknown>> = {
  'by DELETE': (client, url) => client.end(url),
  'by its expiry': (client, url) => until(async () => (await client.head(url)).statusCode !== 200, 'it expires'),
  'by a wrong digest': (client, url) => client.send(url, 300_000, bytes.subarray(300_000)),
};

async function reserve(worker: TestWorker): Promise<string> {
  const plan = { model_ref: 'model', model_bytes: bytes.length, shard_layout: 'single', reserve: true };
  return (await post(worker, '/v1/plan', { ...plan, ttl_seconds: 3600 })).json().reservation.reservation_id;
}

/** Creates an upload with reserved memory, sends half of it, and ends it. */
async function run(worker: TestWorker, reservationId: string, end: (typeof ends)[string]): Promise<void> {
  const client = new TusClient(worker);
  const query = { shard_id: 'a', model_ref: 'model', reservation_id: reservationId, expected_digest: '0'.repeat(64) };
  const created = await client.create(bytes.length, query);
  if (created.statusCode !== 201) throw new Error(created.body);
  const url = uploadOf(created);
  await client.send(url, 0, bytes.subarray(0, 100_000));
  await client.send(url, 100_000, bytes.subarray(100_000, 300_000));
  await end(client, url);
  await until(() => worker.residency.commitsInProgress === 0, 'it ends');
}

/** Nothing of the upload is left. */
async function checkFreed(t: Test, worker: TestWorker, reservationId: string, name: string): Promise<void> {
  await until(async () => (await get(worker, '/v1/shards/a')).statusCode === 404, `${name}: the shard is gone`);
  const again = await upload(worker, 'again', bytes, { reservation_id: reservationId });
  t.equal(again.statusCode, 201, `${name}: the slot and the reserved memory are free: ${again.body}`);
  t.equal((await remove(worker, '/v1/shards/again')).statusCode, 204);
}

for (const [end, finish] of Object.entries(ends)) {
  t.test(`an upload that ends ${end} frees everything, whichever driver call fails`, onSimulator, async (t) => {
    const worker = await startWorker(t, { env: { ...oneSlot, WORKER_UPLOAD_RESUME_SECONDS: '1' } });
    const before = await availableBytes(worker);
    const live = simulator.live('*');
    simulator.reset();
    const first = await reserve(worker);
    await run(worker, first, finish);
    t.equal((await remove(worker, `/v1/reservations/${first}`)).statusCode, 204);
    const count = simulator.calls('*');
    let rounds = 0;
    for (let nth = 1; nth <= count; nth += end === 'by its expiry' ? 4 * stride : stride) {
      const reservationId = await reserve(worker);
      simulator.reset();
      simulator.faults(`*:${nth}=999`);
      await run(worker, reservationId, finish).finally(() => simulator.faults(''));
      await checkFreed(t, worker, reservationId, `call ${nth}`);
      t.equal((await remove(worker, `/v1/reservations/${reservationId}`)).statusCode, 204);
      t.equal(simulator.live('*'), live, `call ${nth}: no driver object is left`);
      rounds++;
    }
    t.ok(rounds > 0);
    t.comment(`figure: ended ${end}, driver failures that left nothing ${rounds} of ${rounds}`);
    t.same(await availableBytes(worker), before);
  });
}

t.test('a sender that stalls gives its slot to others, and can continue', onSimulator, async (t) => {
  const env = { ...oneSlot, WORKER_UPLOAD_IDLE_SECONDS: '1' };
  const worker = await startWorker(t, { listen: true, env });
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(bytes.length, { shard_id: 'a', model_ref: 'model' }));
  const part = { ...tus, 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': 0 };
  const sender = new RawClient(worker.url).send(head(`PATCH ${url}`, { ...part, 'Content-Length': bytes.length }));
  sender.send(bytes.subarray(0, 100_000));
  t.match(lastBody(await sender.until(/\}$/)), { status: 408, code: 'UPLOAD_TIMEOUT' });
  await sender.leave();
  t.equal((await upload(worker, 'b', bytes)).statusCode, 201);
  t.equal((await client.send(url, 100_000, bytes.subarray(100_000))).statusCode, 204);
});

t.test('a newer request ends a sender that libvram reads at full speed', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true, env: oneSlot });
  const client = new TusClient(worker);
  const content = patternBytes(32 * mebibyte);
  const part = { ...tus, 'Content-Type': 'application/offset+octet-stream' };
  for (let round = 0; round < 5; round++) {
    const url = uploadOf(await client.create(content.length, { shard_id: `s${round}`, model_ref: 'model' }));
    const older = new RawClient(worker.url);
    older.send(head(`PATCH ${url}`, { ...part, 'Upload-Offset': 0, 'Content-Length': content.length }));
    const flood = older.flood(content.subarray(0, mebibyte), 24 * mebibyte);
    await until(
      async () => Number((await client.head(url)).headers['upload-offset']) > round * mebibyte,
      'bytes arrive',
    );
    t.equal((await client.send(url, content.length - 1, content.subarray(0, 1))).json().code, 'UPLOAD_OFFSET');
    await Promise.all([older.closed, flood]);
    const offset = Number((await client.head(url)).headers['upload-offset']);
    t.ok(offset < content.length);
    t.equal((await client.end(url)).statusCode, 204);
  }
  t.equal(worker.residency.commitsInProgress, 0);
});
