import { constants, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FileSystem, nodeFileSystem } from '../../../src/audit/log/fs.js';
import { logAt, readChain, sealed } from '../../support/audit.js';
import { countingFileSystem, failingFileSystem } from '../../support/audit_file_system.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('an append creates a file with mode 0600, and syncs its entries before it returns', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const calls: string[] = [];
  const recorded = (name: 'fdatasyncSync' | 'fsyncSync' | 'openSync' | 'writeSync') => ({
    [name]: (...args: never[]) => {
      calls.push(name);
      return (nodeFileSystem[name] as (...args: never[]) => unknown)(...args);
    },
  });
  const fs: FileSystem = {
    ...nodeFileSystem,
    ...recorded('fdatasyncSync'),
    ...recorded('fsyncSync'),
    ...recorded('openSync'),
    ...recorded('writeSync'),
  };
  const log = logAt(path, { fs });
  log.append([sealed('a')]);
  log.append([sealed('b'), sealed('c')]);
  const opened = ['openSync', 'openSync', 'fsyncSync'];
  t.same(
    calls,
    [...opened, 'writeSync', 'fdatasyncSync', 'writeSync', 'fdatasyncSync'],
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
  for (const failing of ['writeSync', 'fdatasyncSync'] as const) {
    rmSync(path, { force: true });
    let armed = false;
    const { fs, open } = countingFileSystem(failingFileSystem((name) => armed && name === failing));
    const log = logAt(path, { fs });
    log.append([sealed('a')]);
    const before = readFileSync(path);
    armed = true;
    t.throws(() => log.append([sealed('b')]), { message: `EIO: ${failing}` });
    t.same(readFileSync(path), before);
    t.equal(open.size, 0, 'the file is closed');
    armed = false;
    log.append([sealed('c')]);
    t.same(
      readChain(path).map(({ shard_id }) => shard_id),
      ['a', 'c'],
    );
  }
});

t.test('a failed write does not extend a file that another process shortened', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  let armed = false;
  const writeSync = ((...args: [number, Buffer, number]) => {
    if (!armed) return nodeFileSystem.writeSync(...args);
    truncateSync(path, 10);
    throw new Error('EIO');
  }) as FileSystem['writeSync'];
  const log = logAt(path, { fs: { ...nodeFileSystem, writeSync } });
  log.append([sealed('a')]);
  armed = true;
  t.throws(() => log.append([sealed('b')]), { message: 'EIO' });
  t.equal(statSync(path).size, 10);
});

t.test('a disk with less than 4096 free bytes is full; blocks reserved for root do not count', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const withFreeBlocks = (bavail: number, bsize: number) => {
    const statfsSync = () => ({ bavail, bfree: bavail + 1_000_000, bsize });
    return { ...nodeFileSystem, statfsSync: statfsSync as unknown as FileSystem['statfsSync'] };
  };
  for (const bytes of [1, 512, 4096]) {
    const blocks = 4096 / bytes;
    const full = logAt(path, { fs: withFreeBlocks(blocks - 1, bytes) });
    t.throws(
      () => full.requireWritable(),
      { message: /full/ },
      `${blocks - 1} blocks of ${bytes}, and many more reserved for root`,
    );
    full.close();
    const log = logAt(path, { fs: withFreeBlocks(blocks, bytes) });
    log.requireWritable();
    log.close();
  }
});

t.test('a read-only file is detected without a write', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const accessSync = (_path: unknown, mode: unknown) => {
    if (mode === constants.W_OK) throw new Error('EROFS');
  };
  t.throws(() => logAt(path, { fs: { ...nodeFileSystem, accessSync } }).requireWritable(), { message: 'EROFS' });
});
