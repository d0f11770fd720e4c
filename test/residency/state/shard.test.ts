import t from 'tap';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { shardTransitions } from '../../../src/residency/state/shard_phase.js';
import { type ShardState, shardStates } from '../../../src/residency/state/snapshot.js';
import { sealOf } from '../../support/seal.js';

const seal = sealOf('kid');
const damage = [{ offset: 0, length: 5 }];

type Transition = keyof typeof shardTransitions;

/** Calls each transition with arguments of the right kind. */
const call: Readonly<Record<Transition, (shard: Shard) => void>> = {
  receiveAgain: (shard) => shard.receiveAgain(),
  beginSealing: (shard) => shard.beginSealing(),
  markIssued: (shard) => shard.markIssued(seal),
  markSealed: (shard) => shard.markSealed(seal),
  replaceHandle: (shard) => shard.replaceHandle({ ...seal, jti: 'new' }),
  markVerified: (shard) => shard.markVerified({ wallMs: 2, monotonicMs: 2 }),
  markCorrupt: (shard) => shard.markCorrupt(damage, 'waiting'),
  setRepairStatus: (shard) => shard.setRepairStatus('failed'),
  markRepaired: (shard) => shard.markRepaired({ ...seal, jti: 'repaired' }),
  beginRelease: (shard) => shard.beginRelease(Promise.resolve()),
  releaseFailed: (shard) => shard.releaseFailed(),
};

/** Every allowed transition of a shard. Any other pair must be refused. */
const allowed: Readonly<Record<Transition, readonly (readonly [ShardState, ShardState])[]>> = {
  receiveAgain: [
    ['receiving', 'receiving'],
    ['sealing', 'receiving'],
  ],
  beginSealing: [['receiving', 'sealing']],
  markIssued: [['sealing', 'sealing']],
  markSealed: [['sealing', 'sealed']],
  replaceHandle: [['sealed', 'sealed']],
  markVerified: [['sealed', 'sealed']],
  markCorrupt: [
    ['sealed', 'corrupt'],
    ['corrupt', 'corrupt'],
  ],
  setRepairStatus: [['corrupt', 'corrupt']],
  markRepaired: [['corrupt', 'sealed']],
  beginRelease: [
    ['receiving', 'releasing'],
    ['sealing', 'releasing'],
    ['sealed', 'releasing'],
    ['corrupt', 'releasing'],
    ['releasing', 'releasing'],
  ],
  releaseFailed: [['releasing', 'releasing']],
};

/** A shard that was brought into a state by its own transitions. */
function inState(state: ShardState): Shard {
  const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 8, freeBytes: 8, granularityBytes: 1 };
  const memory = new DeviceMemory(0, figures, async () => figures);
  const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };
  const shard = new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
  const path: Readonly<Record<ShardState, readonly Transition[]>> = {
    receiving: [],
    sealing: ['beginSealing'],
    sealed: ['beginSealing', 'markSealed'],
    corrupt: ['beginSealing', 'markSealed', 'markCorrupt'],
    releasing: ['beginRelease'],
  };
  for (const transition of path[state]) call[transition](shard);
  return shard;
}

t.test('a shard changes its state by the allowed transitions only', async (t) => {
  t.same(Object.keys(shardTransitions), Object.keys(allowed));
  for (const [name, pairs] of Object.entries(allowed) as [Transition, (typeof allowed)[Transition]][]) {
    for (const from of shardStates) {
      const shard = inState(from);
      t.equal(shard.state, from);
      const { phase } = shard;
      const to = pairs.find((pair) => pair[0] === from)?.[1];
      if (to === undefined) {
        t.throws(() => call[name](shard), { code: 'INTERNAL' }, `${name} is refused while ${from}`);
        t.equal(shard.phase, phase, 'a refused transition changes nothing');
      } else {
        call[name](shard);
        t.equal(shard.state, to, `${name} leads from ${from} to ${to}`);
      }
    }
  }
});

t.test('a transition keeps the fields that it does not set', async (t) => {
  const verified = inState('sealed');
  call.markVerified(verified);
  t.same(verified.seal, { ...seal, verifiedAt: { wallMs: 2, monotonicMs: 2 } });

  const corrupt = inState('corrupt');
  call.setRepairStatus(corrupt);
  t.same(corrupt.phase, { state: 'corrupt', seal, ranges: damage, repairStatus: 'failed' });
  t.same(corrupt.snapshot().corruptRanges, damage);

  call.markRepaired(corrupt);
  t.equal(corrupt.seal?.jti, 'repaired');
  t.same(corrupt.snapshot().corruptRanges, []);

  call.beginRelease(corrupt);
  t.equal(corrupt.seal, undefined, 'a shard that is being released has no seal');
  call.releaseFailed(corrupt);
  t.same(corrupt.phase, { state: 'releasing', attempt: null }, 'a later DELETE can try again');
});
