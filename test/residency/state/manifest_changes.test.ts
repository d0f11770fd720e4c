import { join } from 'node:path';
import t from 'tap';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { Manifest } from '../../../src/residency/state/manifest.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { sealOf } from '../../support/seal.js';
import { failingFileSystem } from '../../support/storage_file_system.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 8, freeBytes: 8, granularityBytes: 1 };

const seal = sealOf('key');

function newShard(shardId: string): Shard {
  const memory = new DeviceMemory(0, figures, async () => figures);
  const identity = { shardId, modelRef: 'm', shardIndex: 0, totalShards: 1 };
  return new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
}

const open = (path: string) => Manifest.open({ path, onChange: () => undefined });
const idsOf = (manifest: Manifest) => manifest.entries().map(({ shardId }) => shardId);

t.test('changes of a shard that wait together take effect in their order', async (t) => {
  const manifest = await open(join(temporaryDirectory(t), 'manifest'));
  t.teardown(() => manifest.close());
  const shard = newShard('a');
  await Promise.all([manifest.put(shard, seal), manifest.remove('a')]);
  t.same(idsOf(manifest), []);
  await Promise.all([manifest.put(shard, seal), manifest.remove('a'), manifest.put(shard, seal)]);
  t.same(idsOf(manifest), ['a']);
});

t.test('the next process finds the shards that were sealed together', async (t) => {
  const path = join(temporaryDirectory(t), 'manifest');
  const manifest = await open(path);
  await manifest.putAll(['a', 'b'].map((shardId) => ({ shard: newShard(shardId), seal })));
  await manifest.close();
  const next = await open(path);
  t.teardown(() => next.close());
  t.same(idsOf(next), ['a', 'b']);
});

t.test('a change that could not be written can be repeated', async (t) => {
  let isFull = false;
  const fs = failingFileSystem((name) => isFull && name === 'write');
  const path = join(temporaryDirectory(t), 'manifest');
  const manifest = await Manifest.open({ path, onChange: () => undefined, fs });
  t.teardown(() => manifest.close());
  const shard = newShard('a');
  isFull = true;
  await t.rejects(manifest.put(shard, seal), { code: 'AUDIT_UNAVAILABLE' });
  t.same(idsOf(manifest), []);
  isFull = false;
  t.equal(await manifest.recover(), true);
  await manifest.put(shard, seal);
  t.same(idsOf(manifest), ['a']);
});
