import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { RepairQueue } from '../../../src/residency/integrity/repair_queue.js';
import type { Shard } from '../../../src/residency/state/shard.js';
import type { WorkerState } from '../../../src/residency/state/worker_state.js';
import { patternBytes } from '../../support/bytes.js';
import { damage, memoryContains } from '../../support/damage.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import {
  bytes,
  commitFile,
  firstDetail,
  groupBytes,
  startRepairable,
  untilGivenUp,
  untilSealed,
  verify,
} from './repairable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

const unknown = 999;

t.afterEach(() => simulator.reset());

t.test('a damaged upload is not repaired and stays corrupt until it is released', onSimulator, async (t) => {
  const { worker } = await startRepairable(t);
  const other = patternBytes(mebibyte, 9);
  await upload(worker, 'b', other, { gpu_device: '1' });
  damage(other, 1, 0);
  t.match((await post(worker, '/v1/shards/b/verify')).json(), { verified: false });
  t.match(await firstDetail(worker), /no source to repair it from/);
  t.equal((await remove(worker, '/v1/shards/b')).statusCode, 204);
  t.equal((await get(worker, '/v1/ready')).statusCode, 200);
});

t.test('a shard is repaired even if any one driver call fails', onSimulator, async (t) => {
  const { worker } = await startRepairable(t, { residency: { repairBackoffMs: [1, 1, 1, 1] } });
  damage(bytes, 0, 5000);
  simulator.reset();
  await verify(worker);
  await untilSealed(worker);
  const calls = simulator.calls('*');
  t.ok(calls > 40, `${calls} driver calls can fail`);
  for (let nth = 1; nth <= calls; nth++) {
    damage(bytes, 0, 5000);
    simulator.faults(`*:${nth}=${unknown}`);
    // The fault may hit the verification, and then the next verification finds the damage.
    await until(async () => {
      if (worker.residency.shard('a').state !== 'sealed') return true;
      return (await verify(worker)).verified === false;
    });
    await untilSealed(worker);
    simulator.faults('');
    t.match(await verify(worker), { verified: true }, `call ${nth}`);
  }
  t.ok(memoryContains(0, bytes));
});

const persistentFaults = 'a shard stays corrupt while the driver fails, and is repaired when it works again';
t.test(persistentFaults, onSimulator, async (t) => {
  const { worker } = await startRepairable(t);
  for (const name of ['cuMemSetAccess', 'cuMemcpyHtoDAsync_v2', 'cuPointerGetAttributes']) {
    damage(bytes, 0, 5000);
    simulator.faults(`${name}:1+=${unknown}`);
    // A verification fails too if the driver cannot say where the memory is.
    if (name === 'cuPointerGetAttributes') {
      t.match(await verify(worker), { code: 'CUDA_ERROR' });
      simulator.faults('');
      simulator.faults(`${name}:3+=${unknown}`);
    }
    t.match(await verify(worker), { verified: false }, name);
    await untilGivenUp(worker);
    simulator.faults('');
    t.equal((await get(worker, '/v1/ready')).statusCode, 503);
    await verify(worker);
    await untilSealed(worker);
    t.match(await verify(worker), { verified: true }, name);
  }
});

t.test('a shard that is released during its repair is gone, and its memory is free', onSimulator, async (t) => {
  const { worker } = await startRepairable(t);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  for (const latencyUs of [0, 300, 1000]) {
    await commitFile(worker);
    damage(bytes, 0, 5000, 2 * groupBytes);
    await verify(worker);
    simulator.latencyUs(latencyUs);
    t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
    simulator.latencyUs(0);
    t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  }
  t.equal(simulator.live('*'), live - 3, 'the memory, the addresses and the mapping of one shard are gone');
  t.not((await availableBytes(worker))[0], before[0]);
});

t.test('all shards are repaired if many are damaged at once', onSimulator, async (t) => {
  const { worker, models } = await startRepairable(t);
  const ids = Array.from({ length: 7 }, (_, index) => `many-${index}`);
  const contents = ids.map((_, index) => patternBytes(5000, index + 10));
  for (const [index, id] of ids.entries()) {
    const path = `${id}.bin`;
    writeFileSync(join(models, path), contents[index] ?? '');
    await post(worker, '/v1/commit', { shard_id: id, model_ref: 'm', gpu_device: 1, source: { type: 'file', path } });
  }
  for (const content of contents) damage(content, 1, 4500);
  await Promise.all(ids.map((id) => post(worker, `/v1/shards/${id}/verify`)));
  await until(() => ids.every((id) => worker.residency.shard(id).state === 'sealed'));
  t.ok(contents.every((content) => memoryContains(1, content)));
});

t.test('many thousand shards that are released while they wait for a repair do not end the process', async (t) => {
  let repairs = 0;
  // The parts of the worker that the queue calls.
  const worker: unknown = {
    options: {},
    lifecycle: { isEnding: false, bumpRevision: () => undefined },
    driverHealth: { report: (error: unknown) => error },
    observer: { repaired: () => repairs++ },
    shardAudit: { appendBestEffort: async () => undefined },
  };
  const queue = new RepairQueue(worker as WorkerState);
  const shards = Array.from({ length: 30_000 }, () => ({
    source: { path: 'a' },
    state: 'corrupt',
    setRepairStatus: () => undefined,
    repair: undefined as Promise<void> | undefined,
  }));
  for (const shard of shards) queue.offer(shard as unknown as Shard);
  const running = shards.flatMap(({ repair }) => (repair === undefined ? [] : [repair]));
  const last = shards.at(-1);
  for (const shard of shards) if (shard !== last) shard.state = 'releasing';
  await Promise.all(running);
  await until(() => repairs === 3);
  t.pass('the last one gets its turn');
});

t.test('a failed repair names its cause, which decides when and how often it is retried', async (t) => {
  const delaysMs: number[] = [];
  t.intercept(globalThis, 'setTimeout', {
    value: (_retry: () => void, delayMs: number) => {
      delaysMs.push(delayMs);
      return { unref: () => undefined };
    },
  });
  const repairFourTimes = async (error: Error) => {
    const [statuses, outcomes]: [string[], string[]] = [[], []];
    const worker: unknown = {
      options: { repairBackoffMs: [10, 20, 30] },
      lifecycle: { isEnding: false, bumpRevision: () => undefined },
      driverHealth: { report: (failure: unknown) => failure },
      observer: { repaired: (outcome: string) => outcomes.push(outcome) },
      shardAudit: { appendBestEffort: async () => undefined },
    };
    const queue = new RepairQueue(worker as WorkerState);
    const shard = {
      source: { path: 'a' },
      state: 'corrupt',
      get phase(): never {
        throw error;
      },
      setRepairStatus: (status: string) => statuses.push(status),
      repair: undefined as Promise<void> | undefined,
    };
    for (let count = 0; count < 4; count++) {
      queue.offer(shard as unknown as Shard);
      await shard.repair;
    }
    return { status: statuses.at(-1), outcomes: [...new Set(outcomes)], delaysMs: delaysMs.splice(0) };
  };
  const retried = (detail: string) => `its repair failed (${detail}) and will be retried`;
  const givenUp = (detail: string) => `4 repairs failed (${detail}): release it and commit it again`;
  const cases: readonly [Error, string, string, number[]][] = [
    [new WorkerError('AUDIT_UNAVAILABLE', 'full'), retried('full'), 'AUDIT_UNAVAILABLE', [10, 10, 10, 10]],
    [new WorkerError('SOURCE_UNAVAILABLE', 'gone'), retried('gone'), 'SOURCE_UNAVAILABLE', [30, 30, 30, 30]],
    [new WorkerError('DIGEST_MISMATCH', 'other'), givenUp('other'), 'DIGEST_MISMATCH', [10, 20, 30]],
    [new TypeError('private'), givenUp('Internal error'), 'INTERNAL', [10, 20, 30]],
  ];
  for (const [error, status, outcome, expectedMs] of cases)
    t.same(await repairFourTimes(error), { status, outcomes: [outcome], delaysMs: expectedMs });
});
