import t from 'tap';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Shards } from '../../../src/residency/state/shards.js';

const figures = { name: 'device', totalBytes: 1e9, freeBytes: 1e9, granularityBytes: 1 };

function newShard(shardId: string, { modelRef = 'm', uuid = 'GPU-0' } = {}): Shard {
  const memory = new DeviceMemory(0, { ...figures, uuid }, async () => ({ ...figures, uuid }));
  const identity = { shardId, modelRef, shardIndex: 0, totalShards: 1 };
  return new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
}

t.test('a page of one GPU has only its shards', async (t) => {
  const shards = new Shards();
  for (const [shardId, uuid] of [
    ['a', 'GPU-0'],
    ['b', 'GPU-1'],
    ['c', 'GPU-0'],
  ] as const) {
    shards.add(newShard(shardId, { uuid }));
  }
  const idsOf = (gpuUuid: string) => shards.page({ limit: 3, gpuUuid }).shards.map(({ shardId }) => shardId);
  t.same(['GPU-0', 'GPU-1', 'GPU-2'].map(idsOf), [['a', 'c'], ['b'], []]);
});

t.test('a page visits only its own shards', async (t) => {
  const shards = new Shards();
  const ids = Array.from({ length: 10_000 }, (_, index) => `s${index}`);
  let snapshots = 0;
  for (const id of ids) {
    const shard = newShard(id);
    const snapshot = shard.snapshot.bind(shard);
    shard.snapshot = () => {
      snapshots++;
      return snapshot();
    };
    shards.add(shard);
  }
  const found: string[] = [];
  let cursor: string | null = null;
  do {
    const page = shards.page({ limit: 999, ...(cursor === null ? {} : { cursor }) });
    found.push(...page.shards.map(({ shardId }) => shardId));
    cursor = page.nextCursor;
  } while (cursor !== null);
  t.same(found, ids.toSorted());
  t.equal(snapshots, 10_000);
  t.same(shards.page({ limit: 1, modelRef: 'unknown' }), { shards: [], nextCursor: null });
  t.same(shards.page({ limit: 1, state: 'sealed' }), { shards: [], nextCursor: null });
});

t.test('a page of a small model or state visits no other shard', async (t) => {
  const shards = new Shards();
  let visits = 0;
  for (let index = 0; index < 100; index++) {
    const shard = newShard(`a${index}`);
    const { identity } = shard;
    shards.add(shard);
    const visit = () => {
      visits++;
      return identity;
    };
    Object.defineProperty(shard, 'identity', { get: visit });
  }
  const small = newShard('b', { modelRef: 'small' });
  shards.add(small);
  small.beginSealing();
  for (const filter of [{ modelRef: 'small' }, { state: 'sealing' as const, modelRef: 'm' }]) {
    shards.page({ limit: 1, ...filter });
    t.equal(visits, 0, JSON.stringify(filter));
  }
});
