import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemActor } from '../../src/audit/actor.js';
import { patternBytes } from '../support/bytes.js';
import { availableBytes, post, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker } from '../support/worker.js';

const bytes = patternBytes(5000);

t.afterEach(() => simulator.reset());

t.test('a shard that is being released when the worker stops is given back once', onSimulator, async (t) => {
  const auditLog = join(t.testdir({}), 'audit.log');
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

t.test('a shard of a reservation that is released takes nothing from what is reserved', async (t) => {
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
