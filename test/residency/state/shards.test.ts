import fc from 'fast-check';
import t from 'tap';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Shards } from '../../../src/residency/state/shards.js';
import { type ShardState, shardStates } from '../../../src/residency/state/snapshot.js';
import { sealOf } from '../../support/seal.js';

const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 1e9, freeBytes: 1e9, granularityBytes: 1 };

function newShard(shardId: string, modelRef = 'm', shardIndex = 0, totalShards = 1): Shard {
  const memory = new DeviceMemory(0, figures, async () => figures);
  return new Shard({ shardId, modelRef, shardIndex, totalShards }, 5, new MemoryGrant(memory, memory.claim(5)));
}

/** The counts, found by a visit of every shard. */
function counted(shards: Shards): Record<ShardState, number> {
  const counts = { receiving: 0, sealing: 0, sealed: 0, corrupt: 0, releasing: 0 };
  for (const shard of shards.all()) counts[shard.state]++;
  return counts;
}

/** Compares the figures of models and of verifications with those that a visit of every shard finds. */
function checkFigures(shards: Shards): void {
  const verifiedAt = ({ phase }: Shard) => (phase.state === 'sealed' ? phase.seal.verifiedAt : undefined);
  for (const modelRef of [undefined, 'm0', 'm1', 'm2']) {
    const times = shards.ofModel(modelRef).flatMap((shard) => verifiedAt(shard)?.wallMs ?? []);
    const oldest = times.length === 0 ? null : Math.min(...times);
    if (shards.oldestVerifiedMs(modelRef) !== oldest) throw new Error('oldest verification');
    for (const moment of [1, 2, 3].map((ms) => ({ wallMs: ms, monotonicMs: 4 - ms }))) {
      const old = shards.ofModel(modelRef).filter((shard) => {
        const at = verifiedAt(shard);
        return at !== undefined && (at.wallMs < moment.wallMs || at.monotonicMs < moment.monotonicMs);
      });
      const found = shards.verifiedBefore(modelRef, moment);
      if (found.length !== old.length || found.some((shard, index) => shard !== old[index]))
        throw new Error('old shards');
      if (shards.isAnyVerifiedBefore(modelRef, moment) !== old.length > 0) throw new Error('any old shard');
    }
  }
  for (const ms of [1, 2, 3, 4]) {
    const old = shards.all().filter((shard) => (verifiedAt(shard)?.monotonicMs ?? ms) < ms);
    if (shards.verified.countBefore(ms) !== old.length) throw new Error('number of old shards');
  }
  const sealed = shards.all().filter(({ state }) => state === 'sealed');
  const times = sealed.map((shard) => verifiedAt(shard)?.monotonicMs ?? 0).sort();
  const byAge = [...shards.verified.byAge()];
  if (byAge.some((shard, index) => verifiedAt(shard)?.monotonicMs !== times[index])) throw new Error('order');
  if (new Set(byAge).size !== sealed.length) throw new Error('sealed shards');
  if (shards.verified.bytes !== sealed.length * 5) throw new Error('sealed bytes');
  if (shards.verified.oldestMonotonicMs !== (times[0] ?? Number.POSITIVE_INFINITY)) throw new Error('oldest shard');
  const counts = { ready: 0, other: 0 };
  for (const model of shards.models(undefined)) {
    const all = [...model.values()];
    const sealed = all.filter(({ state }) => state === 'sealed');
    const totals = (sealed.length > 0 ? sealed : all).map(({ identity }) => identity.totalShards);
    const totalShards = Math.max(...totals);
    const ofTotal = sealed.filter(({ identity }) => identity.totalShards === totalShards);
    const residentShards = new Set(ofTotal.map(({ identity }) => identity.shardIndex)).size;
    const isReady = residentShards === totalShards && all.every(({ state }) => state !== 'corrupt');
    if (model.totalShards !== totalShards || model.residentShards !== residentShards)
      throw new Error('shards of models');
    if (model.isReady !== isReady || shards.isReady(model.modelRef) !== isReady) throw new Error('ready models');
    counts[isReady ? 'ready' : 'other']++;
  }
  if (shards.isReady(undefined) !== counts.ready > 0) throw new Error('ready worker');
  const { ready, other } = shards.modelCounts;
  if (ready !== counts.ready || other !== counts.other) throw new Error('counts of models');
}

type Step = (shard: Shard, shards: Shards) => void;
const steps: readonly Step[] = [
  (shard) => shard.beginSealing(),
  (shard) => shard.markSealed(sealOf('one')),
  (shard) => shard.replaceHandle(sealOf('two')),
  (shard) => shard.markVerified({ wallMs: 2, monotonicMs: 2 }),
  (shard) => shard.markVerified({ wallMs: 1, monotonicMs: 3 }),
  (shard) => shard.markCorrupt([], 'waiting'),
  (shard) => shard.markRepaired(sealOf('three')),
  (shard) => shard.beginRelease(Promise.resolve()),
  (shard) => shard.releaseFailed(),
  (shard, shards) => shards.remove(shard),
];

t.test('after any transitions, the counts, figures and keys in use are those of the shards', async (t) => {
  const history = fc.array(fc.tuple(fc.nat(5), fc.nat(steps.length - 1)), { maxLength: 80, size: 'max' });
  fc.assert(
    fc.property(history, (calls) => {
      const shards = new Shards();
      for (const [id, step] of calls) {
        const shard = shards.get(`s${id}`) ?? newShard(`s${id}`, `m${id % 3}`, id % 2, 1 + (id % 4));
        if (shards.get(`s${id}`) === undefined) shards.add(shard);
        try {
          steps[step]?.(shard, shards);
        } catch {
          // The shard does not allow this transition now.
        }
        checkFigures(shards);
        const found = counted(shards);
        for (const state of shardStates) if (found[state] !== shards.countByState[state]) throw new Error(state);
        for (const kid of ['one', 'two', 'three']) {
          const signed = shards.all().filter(({ seal }) => seal?.kid === kid);
          if (shards.isKeyInUse(kid) !== signed.length > 0) throw new Error(`key ${kid}`);
          const others = shards.all().filter(({ seal }) => seal !== undefined && seal.kid !== kid);
          if (shards.signedByOthers(kid).length !== others.length) throw new Error(`others of ${kid}`);
        }
        const models = [0, 1, 2].flatMap((model) => shards.ofModel(`m${model}`));
        if (models.length !== shards.all().length) throw new Error('models');
        for (const state of shardStates) checkPages(shards, state);
      }
    }),
  );
  t.pass('all histories');
});

t.test('a corrupt shard does not count among the verified ones', async (t) => {
  const shards = new Shards();
  const shard = newShard('a');
  shards.add(shard);
  shard.beginSealing();
  shard.markSealed(sealOf('one'));
  t.equal(shards.oldestVerifiedMs('m'), 1);
  shard.markCorrupt([], 'waiting');
  t.equal(shards.oldestVerifiedMs('m'), null);
  t.same(shards.verifiedBefore(undefined, { wallMs: 2, monotonicMs: 2 }), []);
});

/** Reads the pages of a state, of each model, in pages of two. */
function checkPages(shards: Shards, state: ShardState): void {
  for (const modelRef of [undefined, 'm0', 'm1', 'm2']) {
    const filter = { state, limit: 2, ...(modelRef === undefined ? {} : { modelRef }) };
    const found: string[] = [];
    for (let page = shards.page(filter); ; page = shards.page({ ...filter, cursor: page.nextCursor })) {
      if (page.shards.length > filter.limit) throw new Error('a page is too long');
      found.push(...page.shards.map(({ shardId }) => shardId));
      if (page.nextCursor === null) break;
    }
    const expected = shards.ofModel(modelRef).filter((shard) => shard.state === state);
    if (found.join() !== expected.map(({ identity }) => identity.shardId).join()) throw new Error(`pages of ${state}`);
  }
}

t.test('the models are in the order of their names', async (t) => {
  const shards = new Shards();
  for (const modelRef of ['b', 'a', 'c', 'b']) shards.add(newShard(`${modelRef}-${Math.random()}`, modelRef));
  t.same(
    shards.models(undefined).map(({ modelRef }) => modelRef),
    ['a', 'b', 'c'],
  );
  t.same(
    shards.models('b').map(({ size }) => size),
    [2],
  );
  t.same(shards.models('unknown'), []);
});

t.test('a required shard exists, or the error is NOT_FOUND', async (t) => {
  const shards = new Shards();
  const shard = newShard('a');
  shards.add(shard);
  t.equal(shards.require('a'), shard);
  t.throws(() => shards.require('b'), { code: 'NOT_FOUND' });
});

t.test('each change of a shard that a client could see is reported', async (t) => {
  let changes = 0;
  const shards = new Shards(() => {
    changes++;
  });
  const shard = newShard('a');
  shards.add(shard);
  for (const change of [
    () => shard.beginSealing(),
    () => shard.markSealed(sealOf('one')),
    () => shard.countLeases(1),
    () => shard.setKept(true),
    () => shard.markVerified({ wallMs: 2, monotonicMs: 2 }),
    () => shard.markCorrupt([], 'waiting'),
    () => shard.beginRelease(Promise.resolve()),
    () => shards.remove(shard),
  ]) {
    const before = changes;
    change();
    t.equal(changes, before + 1);
  }
});

t.test('a retry to free memory, which a client cannot see, is not reported', async (t) => {
  let changes = 0;
  const shards = new Shards(() => {
    changes++;
  });
  const shard = newShard('a');
  shards.add(shard);
  t.equal(changes, 1, 'a new shard is a change');
  shard.beginRelease(Promise.resolve());
  const [before, snapshot] = [changes, shard.snapshot()];
  for (let retry = 0; retry < 3; retry++) {
    shard.releaseFailed();
    t.same(shard.phase, { state: 'releasing', attempt: null });
    const attempt = Promise.resolve();
    shard.beginRelease(attempt);
    t.same(shard.phase, { state: 'releasing', attempt });
  }
  t.equal(changes, before);
  t.equal(shard.snapshot(), snapshot);
  shard.setZombie(true);
  t.equal(changes, before + 1, 'but what its memory counts as is');
  shards.remove(shard);
  t.equal(changes, before + 2);
});
