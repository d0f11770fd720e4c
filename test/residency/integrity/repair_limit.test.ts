import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Allocation } from '../../../src/vram/allocation.js';
import { eventsOf, readChain } from '../../support/audit.js';
import { flip, locate, memoryContains } from '../../support/damage.js';
import { verifyHandle } from '../../support/handles.js';
import { get, remove } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import {
  bytes,
  commitFile,
  firstDetail,
  groupBytes,
  type RepairableShard,
  startRepairable,
  verify,
} from './repairable.js';

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

const stuckAt = groupBytes + 5000;
const damagedRanges = [{ offset: groupBytes, length: groupBytes }];

/** Damages one bit, now and after each repair, so the memory never keeps what a repair writes. */
function stickBit(t: Test): void {
  const start = locate(bytes);
  const damageBit = () => flip(start, [{ offset: stuckAt, bit: 4 }]);
  const repair = Allocation.prototype.repair;
  t.intercept(Allocation.prototype, 'repair', {
    value: async function (this: Allocation, ...args: Parameters<typeof repair>) {
      await repair.apply(this, args);
      damageBit();
    },
    configurable: true,
  });
  damageBit();
}

async function checkCorrupt(t: Test, { worker, auditLog, handle }: RepairableShard, repairs: number): Promise<void> {
  t.match((await get(worker, '/v1/ready')).json(), {
    ready: false,
    handles: [],
    reasons: [{ code: 'SHARD_CORRUPT' }],
  });
  t.match((await get(worker, '/v1/shards/a')).json(), {
    state: 'corrupt',
    sealed: false,
    corrupt_ranges: damagedRanges,
  });
  t.match(await verifyHandle(worker, handle), { valid: false, reason: 'not_sealed' });
  t.match((await commitFile(worker)).json(), { status: 409, code: 'SHARD_CONFLICT' });
  const named = (name: string) => readChain(auditLog).filter(({ event }) => event === name);
  await until(() => named('RepairFailed').length === repairs);
  t.equal(named('RepairStarted').length, repairs, `the worker tried ${repairs} repairs`);
  const detail = 'The memory is still corrupt after the repair';
  t.match(
    named('RepairFailed'),
    Array.from({ length: repairs }, (_, index) => ({
      severity: 'critical',
      shard_id: 'a',
      failures: index + 1,
      detail,
    })),
    'the audit log has each failure and its reason',
  );
  t.equal(named('VramSealed').length, 1, 'the shard was sealed only by its commit');
}

t.test('a shard with a stuck bit stays corrupt after a limited number of repairs', onSimulator, async (t) => {
  const shard = await startRepairable(t);
  const { worker, auditLog } = shard;
  stickBit(t);
  t.match(await verify(worker), { verified: false, reason: 'damaged', corrupt_ranges: damagedRanges });
  await until(async () => /3 repairs failed/.test(await firstDetail(worker)));
  await checkCorrupt(t, shard, 3);
  await sleep(100);
  await checkCorrupt(t, shard, 3);

  t.match(await verify(worker), { verified: false, reason: 'damaged', corrupt_ranges: damagedRanges });
  const failures = () => eventsOf(auditLog).filter((event) => event === 'RepairFailed').length;
  await until(() => failures() === 4);
  t.match(await firstDetail(worker), /4 repairs failed/, 'a requested verification adds one repair');
  await checkCorrupt(t, shard, 4);
  t.notOk(memoryContains(0, bytes), 'the bit is stuck');

  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204, 'the shard can be released');
  t.notOk(eventsOf(auditLog).includes('SealVerified'));
});
