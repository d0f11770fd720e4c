import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ManifestEntry } from '../../../src/residency/state/manifest_file.js';
import { ManifestJournal } from '../../../src/residency/state/manifest_journal.js';
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
  path: 'model',
  digest: null,
  treeDigest: digestOf(Buffer.alloc(32)),
  expected: 'tree',
  exportable: false,
});

const pathIn = (t: Test) => join(temporaryDirectory(t), 'manifest');

/** A journal, and the entries that its last successful append left. */
function journalAt(path: string, fs: FileSystem = nodeFileSystem) {
  const journal = new ManifestJournal({ path, fs });
  let entries = new Map<string, ManifestEntry>();
  const change = async (changes: readonly (readonly [string, ManifestEntry | undefined])[]) => {
    const next = new Map(entries);
    for (const [shardId, value] of changes) {
      if (value === undefined) next.delete(shardId);
      else next.set(shardId, value);
    }
    await journal.append(
      changes.map(([shardId, value]) => ({ shardId, entry: value })),
      entries,
    );
    entries = next;
  };
  return { journal, change, ids: () => [...entries.keys()] };
}

const idsIn = async (path: string) => [...(await readManifest(path)).entries.keys()];

t.test('a change costs one write and one sync, regardless of the number of shards', async (t) => {
  const path = pathIn(t);
  const calls = new Map<string, number>();
  const counted = Object.entries(nodeFileSystem).map(([name, call]) => [
    name,
    (...args: never[]) => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return (call as (...args: never[]) => unknown)(...args);
    },
  ]);
  const { change } = journalAt(path, Object.fromEntries(counted) as FileSystem);
  await change(Array.from({ length: 2000 }, (_, index) => [`s${index}`, entry(`s${index}`)] as const));
  const { size } = statSync(path);
  calls.clear();
  await change([
    ['a', entry('a')],
    ['s0', undefined],
  ]);
  t.equal(calls.get('write'), 1);
  t.equal(calls.get('fdatasync'), 1);
  t.equal(calls.get('fsync'), undefined);
  t.ok(statSync(path).size < size + 1000);
  t.equal((await idsIn(path)).length, 2000);
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
    const { change } = journalAt(
      path,
      failingFileSystem((name) => armed && name === failing),
    );
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
