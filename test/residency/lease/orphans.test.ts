import { spawn } from 'node:child_process';
import t from 'tap';
import { Orphans } from '../../../src/residency/lease/orphans.js';
import { Leases } from '../../../src/residency/state/leases.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { processStartTicks } from '../../../src/vram/peer_process.js';
import { newDescriptors, openDescriptors } from '../../support/open_descriptors.js';
import { until } from '../../support/until.js';
import { fakeDevice } from '../state/fake_device.js';

function shard(shardId: string): Shard {
  const { memory } = fakeDevice();
  const identity = { shardId, modelRef: 'm', shardIndex: 0, totalShards: 1 };
  return new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
}

t.test(
  'a process that ends loses its leases on all shards, also on those that were mapped at the same time',
  async (t) => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    t.teardown(() => child.kill('SIGKILL'));
    const { pid = 0 } = child;
    const startTicks = await processStartTicks(pid);
    const before = openDescriptors();
    const leases = new Leases();
    const orphans = new Orphans({ leases });
    t.teardown(() => orphans.close());
    const shards = ['a', 'b', 'c'].map(shard);
    const listed = { allocationId: '', uid: 0, gid: 0, pid, startTicks, label: null, nonce: null, grantedAtMs: 0 };
    await Promise.all(
      shards.map((one) => orphans.restore(one, [{ ...listed, leaseId: one.identity.shardId, isRevoked: false }])),
    );
    t.equal(leases.countByState.orphaned, 3);
    t.equal(newDescriptors(before).length, 1, 'all leases of the process share a pidfd');

    child.kill('SIGKILL');
    await until(() => {
      orphans.tick();
      return leases.countByState.orphaned === 0;
    }, 'the leases stay');
    t.same(newDescriptors(before), []);
  },
);
