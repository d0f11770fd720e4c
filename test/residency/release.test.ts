import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemActor } from '../../src/audit/actor.js';
import { patternBytes } from '../support/bytes.js';
import { locate, memoryContains, memoryOf } from '../support/damage.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { startWorker } from '../support/worker.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});

const bytes = patternBytes(5000);
const unknown = 999;

const granuleBytes = 2 * mebibyte;

t.afterEach(() => simulator.reset());

t.test('a release wipes the bytes of the shard in device memory', onSimulator, async (t) => {
  const large = patternBytes(3 * mebibyte + 5);
  const worker = await startWorker(t);
  await upload(worker, 'a', large);
  await remove(worker, '/v1/shards/a');
  t.notOk(memoryContains(0, large.subarray(4096, 8192)));
});

t.test('a release wipes every byte that could have been written, up to 4 KiB, and no more', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  // Each later shard gets the same granule, because freed memory is reused last in, first out.
  const start = locate(bytes);
  await remove(worker, '/v1/shards/a');
  for (const length of [1, 4095, 4096, 4097, 600_000, granuleBytes - 1, granuleBytes]) {
    const shard = Buffer.alloc(length, 0xa5);
    await upload(worker, 'a', shard);
    const file = openSync(memoryOf(0), 'r+');
    const granule = Buffer.alloc(granuleBytes);
    readSync(file, granule, 0, granuleBytes, start);
    t.ok(granule.subarray(0, length).equals(shard), `${length} bytes are in the granule`);
    // Only a process outside can write behind the shard.
    writeSync(file, Buffer.alloc(granuleBytes - length, 0xee), 0, granuleBytes - length, start + length);
    await remove(worker, '/v1/shards/a');
    readSync(file, granule, 0, granuleBytes, start);
    closeSync(file);
    const wipedBytes = Math.ceil(length / 4096) * 4096;
    t.ok(granule.subarray(0, wipedBytes).equals(Buffer.alloc(wipedBytes)), `${length} bytes are wiped`);
    const rest = granule.subarray(wipedBytes);
    t.ok(rest.equals(Buffer.alloc(rest.length, 0xee)), `${length} bytes: the rest is untouched`);
  }
});

t.test('a shard whose release is in progress when the worker stops is freed once', onSimulator, async (t) => {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: auditLog } });
  await upload(worker, 'a', bytes);
  simulator.reset();
  simulator.latencyUs(20_000);
  const released = worker.residency.release('a', systemActor);
  const stopped = worker.stop();
  await Promise.all([released, stopped]);
  const events = readFileSync(auditLog, 'utf8').match(/"event":"VramDeallocated"/g);
  t.equal(events?.length, 1);
});

t.test('concurrent releases of a shard with a reservation free its memory once', async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const plan = { model_ref: 'm', model_bytes: 5000, shard_layout: 'single', reserve: true };
  const { reservation_id } = (await post(worker, '/v1/plan', plan)).json().reservation;
  await upload(worker, 'a', bytes, { model_ref: 'm', reservation_id });
  await Promise.all([
    worker.residency.release('a', systemActor),
    t.rejects(worker.residency.release('a', systemActor), { code: 'SHARD_BUSY' }),
  ]);
  t.same(await availableBytes(worker), before);
});

t.test('a shard whose memory cannot be freed stays listed and can be released later', onSimulator, async (t) => {
  const shard = patternBytes(600_000);
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  await upload(worker, 'a', shard);
  simulator.faults(`cuMemUnmap:1+=${unknown}`);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 500, code: 'CUDA_ERROR' });
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'releasing');
  t.match((await upload(worker, 'a', shard)).json(), { status: 409, code: 'SHARD_BUSY' });
  simulator.faults('');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);
});
