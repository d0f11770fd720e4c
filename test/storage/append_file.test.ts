import { constants, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FileSystem, nodeFileSystem } from '../../src/storage/fs.js';
import { logAt, readChain, sealed } from '../support/audit.js';
import { countingFileSystem, failingFileSystem } from '../support/storage_file_system.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

t.test('an append creates a file with mode 0600, and syncs its entries before it returns', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const calls: string[] = [];
  const recorded = (name: 'fdatasync' | 'fsync' | 'open' | 'write') => ({
    [name]: (...args: never[]) => {
      calls.push(name);
      return (nodeFileSystem[name] as (...args: never[]) => unknown)(...args);
    },
  });
  const fs: FileSystem = {
    ...nodeFileSystem,
    ...recorded('fdatasync'),
    ...recorded('fsync'),
    ...recorded('open'),
    ...recorded('write'),
  };
  const log = logAt(path, { fs });
  await log.append([sealed('a')]);
  await log.append([sealed('b'), sealed('c')]);
  const opened = ['open', 'open', 'fsync'];
  t.same(
    calls,
    [...opened, 'write', 'fdatasync', 'write', 'fdatasync'],
    'the directory is synced after the file is created',
  );
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(
    readChain(path).map(({ shard_id }) => shard_id),
    ['a', 'b', 'c'],
  );
});

t.test('a failed write that can be undone leaves no bytes', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const failing of ['write', 'fdatasync'] as const) {
    rmSync(path, { force: true });
    let armed = false;
    const { fs, open } = countingFileSystem(failingFileSystem((name) => armed && name === failing));
    const log = logAt(path, { fs });
    await log.append([sealed('a')]);
    const before = readFileSync(path);
    armed = true;
    await t.rejects(log.append([sealed('b')]), { message: `EIO: ${failing}` });
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
  const withFreeBlocks = (bavail: number, bsize: number) => {
    const statfs = async () => ({ bavail, bfree: bavail + 1_000_000, bsize });
    return { ...nodeFileSystem, statfs };
  };
  for (const bytes of [1, 512, 4096]) {
    const blocks = 4096 / bytes;
    const full = logAt(path, { fs: withFreeBlocks(blocks - 1, bytes) });
    await t.rejects(
      full.requireWritable(),
      { message: /full/ },
      `${blocks - 1} blocks of ${bytes}, and many more reserved for root`,
    );
    await full.close();
    const log = logAt(path, { fs: withFreeBlocks(blocks, bytes) });
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
