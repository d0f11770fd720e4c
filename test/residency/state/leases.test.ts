import t from 'tap';
import type { LeaseHolder, LeasePeer } from '../../../src/residency/state/lease.js';
import { Leases } from '../../../src/residency/state/leases.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { fakeDevice } from './fake_device.js';

function holder(uid: number): LeaseHolder {
  const peer: LeasePeer = {
    uid,
    gid: 0,
    pid: null,
    isWatched: true,
    hasEnded: false,
    startTicks: Promise.resolve(null),
    hold: () => undefined,
    drop: () => undefined,
  };
  return { peer, isOpen: true, notify: () => undefined, disconnect: () => undefined };
}

t.test('the leases of a process, of a user and of all are limited, and an ended one makes room', async (t) => {
  const { memory } = fakeDevice();
  const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };
  const shard = new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
  const leases = new Leases();
  const grant = (by: LeaseHolder) => leases.grant(shard, by, { nonce: null, label: null });
  const refused = (of: string) => ({ code: 'RATE_LIMITED', message: new RegExp(`of ${of}$`) });
  const fill = (by: LeaseHolder) => Array.from({ length: 256 }, () => grant(by));
  for (const uid of [1, 2]) {
    for (let count = 0; count < 8192; count += 256) {
      const process = holder(uid);
      const last = fill(process).at(-1);
      t.throws(() => grant(process), refused('this process'));
      last?.end('detached');
      grant(process);
    }
    t.throws(() => grant(holder(uid)), refused('this user'));
  }
  t.equal(leases.count(shard), 16_384);
  t.throws(() => grant(holder(3)), refused('all processes'));
  leases.of(shard)[0]?.end('detached');
  t.ok(grant(holder(3)));
});
