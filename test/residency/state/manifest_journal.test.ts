import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ManifestEntry } from '../../../src/residency/state/manifest_entry.js';
import { type ManifestChange, ManifestContent } from '../../../src/residency/state/manifest_file.js';
import { ManifestJournal } from '../../../src/residency/state/manifest_journal.js';
import type { ManifestLease } from '../../../src/residency/state/manifest_lease.js';
import { readManifest } from '../../../src/residency/state/manifest_reader.js';
import { digestOf } from '../../../src/seal/digest.js';
import { type FileSystem, nodeFileSystem } from '../../../src/storage/fs.js';
import { failingFileSystem } from '../../support/storage_file_system.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

const entry = (shardId: string): ManifestEntry => ({
  shardId,
  modelRef: 'm',
  shardIndex: 0,
  totalShards: 1,
  gpuDevice: 0,
  vramBytes: 5,
  source: { type: 'file', path: 'model' },
  expectedBy: null,
  digest: null,
  treeDigest: digestOf(Buffer.alloc(32)),
  expected: 'tree',
  exportable: false,
  memory: null,
});

const pathIn = (t: Test) => join(temporaryDirectory(t), 'manifest');

/** A journal, and the content that its last successful append left. */
function journalAt(path: string, fs: FileSystem = nodeFileSystem) {
  const journal = new ManifestJournal({ path, fs });
  const content = new ManifestContent();
  const append = async (changes: readonly ManifestChange[]) => {
    await journal.append(changes, content);
    for (const change of changes) content.apply(change);
  };
  const change = (changes: readonly (readonly [string, ManifestEntry | undefined])[]) =>
    append(changes.map(([shardId, value]) => (value ? { kind: 'put', entry: value } : { kind: 'remove', shardId })));
  return { journal, append, change, ids: () => [...content.entries.keys()] };
}

const idsIn = async (path: string) => [...(await readManifest(path)).content.entries.keys()];

t.test('a change costs one check and one synced write, regardless of the number of shards', async (t) => {
  const path = pathIn(t);
  const calls = new Map<string, number>();
  const counted = Object.entries(nodeFileSystem).map(([name, call]) => [
    name,
    (...args: never[]) => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return (call as (...args: never[]) => unknown)(...args);
    },
  ]);
  // With ample space, an append does not check the disk.
  const statfs: FileSystem['statfs'] = async () => ({ bavail: 2 ** 40, bsize: 1, type: 0 });
  const { change } = journalAt(path, { ...(Object.fromEntries(counted) as FileSystem), statfs });
  await change(Array.from({ length: 2000 }, (_, index) => [`s${index}`, entry(`s${index}`)] as const));
  const { size } = statSync(path);
  calls.clear();
  await change([
    ['a', entry('a')],
    ['s0', undefined],
  ]);
  t.same(Object.fromEntries(calls), { stat: 1, write: 1 });
  t.ok(statSync(path).size < size + 1000);
  t.equal((await idsIn(path)).length, 2000);
});

t.test('a rewrite writes many records at once', async (t) => {
  const path = pathIn(t);
  let writes = 0;
  const write: FileSystem['write'] = (...args) => {
    writes++;
    return nodeFileSystem.write(...args);
  };
  const { change } = journalAt(path, { ...nodeFileSystem, write });
  await change(Array.from({ length: 2000 }, (_, index) => [`s${index}`, entry(`s${index}`)] as const));
  rmSync(path);
  writes = 0;
  await change([['a', entry('a')]]);
  t.ok(writes < 10, `${writes} writes`);
  t.equal((await idsIn(path)).length, 2001);
});

t.test('the file is rewritten when most of its records are obsolete', async (t) => {
  const path = pathIn(t);
  const { change } = journalAt(path);
  await change([['kept', entry('kept')]]);
  let largest = 0;
  for (let round = 0; round < 60; round++) {
    const ids = Array.from({ length: 20 }, (_, index) => `${round}-${index}`);
    await change(ids.flatMap((id) => [[id, entry(id)] as const, [id, undefined] as const]));
    largest = Math.max(largest, readFileSync(path, 'utf8').split('\n').length);
  }
  t.ok(largest > 900 && largest < 1100, `at most ${largest} lines`);
  t.same(await idsIn(path), ['kept']);
});

t.test('the file is rewritten by the change after its thousandth obsolete record', async (t) => {
  const path = pathIn(t);
  const { change } = journalAt(path);
  const records = () => readFileSync(path, 'utf8').split('\n').length - 2;
  const pair = [['a', entry('a')] as const, ['a', undefined] as const];
  await change(Array.from({ length: 500 }, () => pair).flat());
  await change(pair);
  t.equal(records(), 1002);
  await change(pair);
  t.equal(records(), 2);
});

t.test('without space for a second file, the longer file takes changes, and is rewritten later', async (t) => {
  const path = pathIn(t);
  let isFull = true;
  const open: FileSystem['open'] = (name, ...more) =>
    isFull && name.endsWith('.new') ? Promise.reject(new Error('ENOSPC')) : nodeFileSystem.open(name, ...more);
  const { change } = journalAt(path, { ...nodeFileSystem, open });
  isFull = false;
  await change([['kept', entry('kept')]]);
  isFull = true;
  const lines = () => readFileSync(path, 'utf8').split('\n').length;
  for (let round = 0; round < 60; round++) {
    const ids = Array.from({ length: 20 }, (_, index) => `${round}-${index}`);
    await change(ids.flatMap((id) => [[id, entry(id)] as const, [id, undefined] as const]));
  }
  t.equal(lines(), 2 + 1 + 60 * 40);
  isFull = false;
  const pairs = Array.from({ length: 100 }, () => [['a', entry('a')] as const, ['a', undefined] as const]);
  while (lines() > 2000) await change(pairs.flat());
  t.same(await idsIn(path), ['kept']);
});

t.test('a crash at any byte of a record leaves the records before it', async (t) => {
  const path = pathIn(t);
  const { change } = journalAt(path);
  await change([['a', entry('a')]]);
  const before = statSync(path).size;
  await change([['b', entry('b')]]);
  const bytes = readFileSync(path);
  for (let length = before; length < bytes.length; length += 7) {
    const cut = pathIn(t);
    await nodeFileSystem.write(await nodeFileSystem.open(cut, 'w', 0o600), bytes.subarray(0, length), 0);
    t.same(await idsIn(cut), ['a'], `cut to ${length} bytes`);
  }
});

t.test('after a failed call, the file has all confirmed changes and no other', async (t) => {
  for (let failing = 0; failing < 40; failing++) {
    const path = pathIn(t);
    let call = -1000;
    const { change, ids } = journalAt(
      path,
      failingFileSystem(() => call++ === failing),
    );
    await change([['a', entry('a')]]);
    call = 0;
    let refused = false;
    for (const id of ['b', 'c', 'd']) await change([[id, entry(id)]]).catch(() => (refused = true));
    call = Number.NEGATIVE_INFINITY;
    await change([['a', undefined]]);
    t.same((await idsIn(path)).sort(), ids().sort(), `call ${failing}${refused ? ' was refused' : ''}`);
  }
});

t.test('a failed append that was undone needs no rewrite', async (t) => {
  const path = pathIn(t);
  for (const failing of ['write', 'statfs'] as const) {
    let armed = false;
    const fs = failingFileSystem((name) => armed && name === failing);
    // With little space, each append checks the disk.
    const statfs: FileSystem['statfs'] = async (name) => ({ ...(await fs.statfs(name)), bavail: 8192, bsize: 1 });
    const { change } = journalAt(path, { ...fs, statfs });
    await change([['a', entry('a')]]);
    const { ino } = statSync(path);
    armed = true;
    await t.rejects(change([['b', entry('b')]]));
    armed = false;
    await change([['c', entry('c')]]);
    t.equal(statSync(path).ino, ino, `${failing}: it is the same file`);
    t.same(await idsIn(path), ['a', 'c']);
  }
});

t.test('a file that another process replaced is written again', async (t) => {
  const path = pathIn(t);
  const { journal, change } = journalAt(path);
  await change([['a', entry('a')]]);
  await nodeFileSystem.rename(path, `${path}.away`);
  await t.rejects(journal.requireWritable(), /another process/);
  await change([['b', entry('b')]]);
  t.same(await idsIn(path), ['a', 'b']);
  await journal.requireWritable();
});

const lease = (leaseId: string): ManifestLease => ({
  leaseId,
  allocationId: '0-1',
  uid: 1000,
  gid: 1000,
  pid: 7,
  startTicks: null,
  label: null,
  nonce: 'n',
  grantedAtMs: 1_700_000_000_000,
  isRevoked: false,
});

t.test('leases and the memory of shards are kept, also across a rewrite of the file', async (t) => {
  const path = pathIn(t);
  const { append } = journalAt(path);
  const memory = { allocationId: '0-1', gpuUuid: 'GPU-1', mappedBytes: 8, partBytes: 4, exportedAtMs: 1000, jti: 'j' };
  await append([
    { kind: 'put', entry: { ...entry('a'), memory } },
    { kind: 'grant', lease: lease('l1') },
    { kind: 'grant', lease: lease('l2') },
    { kind: 'end', leaseId: 'l1' },
  ]);
  for (let round = 0; round < 20; round++) {
    const pairs = Array.from({ length: 50 }, (_, index) => lease(`r${index}`));
    await append(
      pairs.flatMap(
        (one) =>
          [
            { kind: 'grant', lease: one },
            { kind: 'end', leaseId: one.leaseId },
          ] as const,
      ),
    );
  }
  t.ok(readFileSync(path, 'utf8').split('\n').length < 1200, 'the file was rewritten');
  const { content } = await readManifest(path);
  t.same([...content.entries.values()], [{ ...entry('a'), memory }]);
  t.same([...content.leases.values()], [lease('l2')]);
});
