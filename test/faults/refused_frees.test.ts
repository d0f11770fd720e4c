import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { availableBytes, get, post, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { scale } from './scale.js';

process.env.CUDA_SIM_DEVICES = '256MiB';

const bytes = patternBytes(600_000);

t.afterEach(() => simulator.reset());

/** Each way in which the driver can refuse to free memory. No client takes part after it. */
const refusals: Record<string, { readonly fault: string; readonly run: (worker: TestWorker) => Promise<unknown> }> = {
  'a release whose wipe fails': {
    fault: 'cuMemsetD8Async:1+=999',
    run: (worker) => remove(worker, '/v1/shards/here'),
  },
  'a release whose memory stays mapped': {
    fault: 'cuMemUnmap:1+=999',
    run: (worker) => remove(worker, '/v1/shards/here'),
  },
  'a release whose memory stays allocated': {
    fault: 'cuMemRelease:1+=999',
    run: (worker) => remove(worker, '/v1/shards/here'),
  },
  'a failed commit': {
    fault: 'cuMemUnmap:1+=999',
    run: (worker) => upload(worker, 'new', bytes, { expected_digest: '0'.repeat(64) }),
  },
  'a failed commit with reserved memory': {
    fault: 'cuMemUnmap:1+=999',
    run: async (worker) => {
      const plan = { model_ref: 'model', model_bytes: bytes.length, shard_layout: 'single', reserve: true };
      const { reservation_id } = (await post(worker, '/v1/plan', plan)).json().reservation;
      await upload(worker, 'new', bytes, { expected_digest: '0'.repeat(64), reservation_id });
      await remove(worker, `/v1/reservations/${reservation_id}`);
    },
  },
  'a failed allocation': {
    fault: 'cuMemSetAccess:1+=999,cuMemUnmap:1+=999',
    run: (worker) => upload(worker, 'new', bytes),
  },
  'a failed self-test': {
    fault: 'cuMemUnmap:1+=999',
    run: (worker) => {
      // A wrong digest makes the worker test the device.
      simulator.spoofs('kernel_output=1');
      return upload(worker, 'new', bytes, { expected_tree_digest: '0'.repeat(64) });
    },
  },
};

for (const [name, { fault, run }] of Object.entries(refusals)) {
  t.test(`${name}: the worker frees the memory when the driver works again`, onSimulator, async (t) => {
    const auditLog = join(temporaryDirectory(t), 'audit.log');
    const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: auditLog } });
    const before = { available: await availableBytes(worker), live: simulator.live('cuMemCreate') };
    await upload(worker, 'here', bytes);
    const held = simulator.live('cuMemCreate');
    const rounds = scale(1, 20);
    for (let round = 1; round <= rounds; round++) {
      if ((await get(worker, '/v1/shards/here')).statusCode === 404) await upload(worker, 'here', bytes);
      simulator.reset();
      simulator.faults(fault);
      await run(worker);
      t.ok(simulator.live('cuMemCreate') >= held, `round ${round}: the driver refused`);
      simulator.reset();
      const kept = (await get(worker, '/v1/shards/here')).json().state === 'sealed' ? held : before.live;
      await until(() => simulator.live('cuMemCreate') === kept, 'the memory is free');
      await until(async () => (await get(worker, '/v1/shards/new')).statusCode === 404, 'the shard is gone');
    }
    await remove(worker, '/v1/shards/here');
    const isAvailable = async () => String(await availableBytes(worker)) === String(before.available);
    await until(isAvailable, 'the memory is available');
    t.comment(`figure: refused frees, ${name}, memory free without a client ${rounds} of ${rounds}`);
    const events = readFileSync(auditLog, 'utf8');
    const count = (event: string) => events.split(`"event":"${event}"`).length - 1;
    t.equal(count('VramDeallocated'), count('VramAllocated'), 'one entry for each shard, however often it was tried');
  });
}

t.test('while the driver refuses, retries are few, and each shard is logged once', onSimulator, async (t) => {
  const count = 24;
  const logged: string[] = [];
  const log = (_level: string, message: string) => void logged.push(message);
  const worker = await startWorker(t, { residency: { log } });
  const before = await availableBytes(worker);
  for (let shard = 0; shard < count; shard++) await upload(worker, `shard-${shard}`, bytes);
  simulator.faults('cuMemUnmap:1+=999');
  for (let shard = 0; shard < count; shard++) await remove(worker, `/v1/shards/shard-${shard}`);
  const tag = async () => (await get(worker, '/v1/overview')).headers.etag;
  const tagBefore = await tag();
  const first = simulator.calls('cuMemUnmap');
  const startedMs = performance.now();
  await until(() => simulator.calls('cuMemUnmap') >= first + 48, 'four ticks retry');
  const ticks = Math.floor((performance.now() - startedMs) / 1000) + 1;
  // Four shards in each tick, and three attempts for each. One more tick may have begun before.
  t.ok(simulator.calls('cuMemUnmap') - first <= (ticks + 1) * 12);
  t.equal(await tag(), tagBefore, 'a retry that changes nothing does not end the long polls of clients');
  const refused = logged.filter((message) => message.startsWith('memory cannot be freed'));
  t.equal(refused.length, count);
  simulator.faults('');
  await until(async () => (await get(worker, '/v1/shards')).json().shards.length === 0, 'all are free');
  t.same(await availableBytes(worker), before);
  t.equal(logged.filter((message) => message === 'memory is free after a retry').length, count);
});
