import { chmodSync, constants, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FileSystem, nodeFileSystem } from '../../src/storage/fs.js';
import { logAt, readChain, sealed } from '../support/audit.js';
import { Clocks } from '../support/clock.js';
import { countingFileSystem, failingFileSystem } from '../support/storage_file_system.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

/** Node's file system, which adds the name of each call to `calls`. */
function recordingFileSystem(calls: string[], replaced: Partial<FileSystem> = {}): FileSystem {
  const recorded = Object.entries({ ...nodeFileSystem, ...replaced }).map(([name, call]) => [
    name,
    (...args: never[]) => {
      calls.push(name);
      return (call as (...args: never[]) => unknown)(...args);
    },
  ]);
  return Object.fromEntries(recorded) as FileSystem;
}

/** The figures of a disk with `bavail` free blocks. */
const withFreeBytes = (bavail: number, bsize = 1, type = 0) => ({
  statfs: async () => ({ bavail, bfree: bavail + 1_000_000, bsize, type }),
});

t.test('an append creates a file with mode 0600, and its entries are on disk before it returns', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const calls: string[] = [];
  const flags: unknown[] = [];
  const open: FileSystem['open'] = async (name, how, mode) => {
    flags.push(how);
    return nodeFileSystem.open(name, how, mode);
  };
  const log = logAt(path, { fs: recordingFileSystem(calls, { open }) });
  await log.append([sealed('a')]);
  await log.append([sealed('b'), sealed('c')]);
  t.same(
    calls.filter((name) => ['open', 'write', 'fsync', 'fdatasync'].includes(name)),
    ['open', 'open', 'fsync', 'write', 'write'],
    'the directory is synced after the file is created',
  );
  t.ok((Number(flags[0]) & constants.O_DSYNC) !== 0, 'a write of the file returns when the bytes are on disk');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(
    readChain(path).map(({ shard_id }) => shard_id),
    ['a', 'b', 'c'],
  );
});

t.test('a file system that may ignore O_DSYNC gets a sync of its own', async (t) => {
  const calls: string[] = [];
  const fs = recordingFileSystem(calls, withFreeBytes(2 ** 40, 1, 0x65735546));
  const log = logAt(join(temporaryDirectory(t), 'audit.log'), { fs });
  await log.append([sealed('a')]);
  t.same(calls.slice(-2), ['write', 'fdatasync']);
});

t.test('an append that follows another makes two calls: a check of the path, and a synced write', async (t) => {
  // Less than a second passes between them, however slow the machine is.
  Clocks.take(t);
  const calls: string[] = [];
  const fs = recordingFileSystem(calls, withFreeBytes(2 ** 40));
  const log = logAt(join(temporaryDirectory(t), 'audit.log'), { fs });
  await log.append([sealed('a')]);
  calls.length = 0;
  await log.append([sealed('b')]);
  t.same(calls, ['stat', 'write']);
});

t.test('an append checks an ample disk again after a second', async (t) => {
  const clocks = Clocks.take(t);
  const calls: string[] = [];
  const fs = recordingFileSystem(calls, withFreeBytes(2 ** 40));
  const log = logAt(join(temporaryDirectory(t), 'audit.log'), { fs });
  await log.append([sealed('a')]);
  calls.length = 0;
  clocks.pass(999);
  await log.append([sealed('b')]);
  t.same(calls, ['stat', 'write']);
  clocks.pass(1);
  await log.append([sealed('c')]);
  t.same(calls.slice(2), ['stat', 'statfs', 'access', 'write']);
});

t.test('64 MiB of free space are ample', async (t) => {
  Clocks.take(t);
  const calls: string[] = [];
  const fs = recordingFileSystem(calls, withFreeBytes(64 * 1024 * 1024));
  const log = logAt(join(temporaryDirectory(t), 'audit.log'), { fs });
  await log.append([sealed('a')]);
  calls.length = 0;
  await log.append([sealed('b')]);
  t.same(calls, ['stat', 'write']);
});

t.test('an append checks a disk with little space each time', async (t) => {
  const calls: string[] = [];
  const disk = withFreeBytes(1024 * 1024);
  const fs = recordingFileSystem(calls, { statfs: () => disk.statfs() });
  const log = logAt(join(temporaryDirectory(t), 'audit.log'), { fs });
  await log.append([sealed('a')]);
  calls.length = 0;
  await log.append([sealed('b')]);
  t.same(calls, ['stat', 'statfs', 'access', 'write']);
  Object.assign(disk, withFreeBytes(0));
  await t.rejects(log.append([sealed('c')]), { message: /full/ });
});

t.test('an append checks the permissions again after a change of them', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  let isReadOnly = false;
  const access: FileSystem['access'] = async () => {
    if (isReadOnly) throw new Error('EACCES');
  };
  const log = logAt(path, { fs: { ...nodeFileSystem, ...withFreeBytes(2 ** 40), access } });
  await log.append([sealed('a')]);
  isReadOnly = true;
  chmodSync(path, 0o400);
  await t.rejects(log.append([sealed('b')]), { message: 'EACCES' });
  isReadOnly = false;
  chmodSync(path, 0o600);
  await log.append([sealed('c')]);
  t.same(
    readChain(path).map(({ shard_id }) => shard_id),
    ['a', 'c'],
  );
});

t.test('a failed write that can be undone leaves no bytes', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const writtenShare of [0, 0.5, 1]) {
    rmSync(path, { force: true });
    let armed = false;
    const failing = failingFileSystem((name) => armed && name === 'write', writtenShare);
    const { fs, open } = countingFileSystem(failing);
    const log = logAt(path, { fs });
    await log.append([sealed('a')]);
    const before = readFileSync(path);
    armed = true;
    await t.rejects(log.append([sealed('b')]), { message: 'EIO: write' });
    t.same(readFileSync(path), before);
    t.equal(open.size, 0, 'the file is closed');
    armed = false;
    await log.append([sealed('c')]);
    t.same(
      readChain(path).map(({ shard_id }) => shard_id),
      ['a', 'c'],
    );
  }
});

t.test('a failed write that wrote nothing needs no truncation', async (t) => {
  const calls: string[] = [];
  let armed = false;
  const write: FileSystem['write'] = async (...args) => {
    if (armed) throw new Error('EIO');
    return nodeFileSystem.write(...args);
  };
  const log = logAt(join(temporaryDirectory(t), 'audit.log'), { fs: recordingFileSystem(calls, { write }) });
  await log.append([sealed('a')]);
  armed = true;
  await t.rejects(log.append([sealed('b')]), { message: 'EIO' });
  t.notOk(calls.includes('ftruncate'));
});

t.test('a failed write does not extend a file that another process shortened', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  let armed = false;
  const write: FileSystem['write'] = async (...args) => {
    if (!armed) return nodeFileSystem.write(...args);
    truncateSync(path, 10);
    throw new Error('EIO');
  };
  const log = logAt(path, { fs: { ...nodeFileSystem, write } });
  await log.append([sealed('a')]);
  armed = true;
  await t.rejects(log.append([sealed('b')]), { message: 'EIO' });
  t.equal(statSync(path).size, 10);
});

t.test('a disk with less than 4096 free bytes is full; blocks reserved for root do not count', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const bytes of [1, 512, 4096]) {
    const blocks = 4096 / bytes;
    const full = logAt(path, { fs: { ...nodeFileSystem, ...withFreeBytes(blocks - 1, bytes) } });
    await t.rejects(
      full.requireWritable(),
      { message: /full/ },
      `${blocks - 1} blocks of ${bytes}, and many more reserved for root`,
    );
    await full.close();
    const log = logAt(path, { fs: { ...nodeFileSystem, ...withFreeBytes(blocks, bytes) } });
    await log.requireWritable();
    await log.close();
  }
});

t.test('a read-only file is detected without a write', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const access: FileSystem['access'] = async (_path, mode) => {
    if (mode === constants.W_OK) throw new Error('EROFS');
  };
  await t.rejects(logAt(path, { fs: { ...nodeFileSystem, access } }).requireWritable(), { message: 'EROFS' });
});
