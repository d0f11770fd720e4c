import fs, { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FileLock } from '../../src/vram/file_lock.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

/** The descriptors of this process for files of a directory. */
function openIn(directory: string): number {
  const targets = readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      return [];
    }
  });
  return targets.filter((target) => target.startsWith(directory)).length;
}

t.test('a lock that fails leaves no descriptor open', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  writeFileSync(path, '');
  const { fstat } = fs;
  let calls = 0;
  let failing = 0;
  const failure = Object.assign(new Error('fstat failed'), { code: 'EIO' });
  t.intercept(fs, 'fstat', {
    value: (descriptor: number, done: (error: Error | null) => void) =>
      ++calls === failing ? done(failure) : fstat(descriptor, done as never),
  });
  const complete = new FileLock(path, 'WORKER_AUDIT_LOG');
  t.equal(await complete.acquire(), true);
  await complete.release();
  const all = calls;
  t.ok(all >= 3);
  for (failing = 1; failing <= all; failing++) {
    calls = 0;
    const lock = new FileLock(path, 'WORKER_AUDIT_LOG');
    await t.rejects(lock.acquire(), failure, `call ${failing}`);
    await lock.release();
    t.equal(openIn(directory), 0, `call ${failing}`);
  }
});

t.test('a lock that another object holds leaves no descriptor open', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  writeFileSync(path, '');
  const first = new FileLock(path, 'WORKER_AUDIT_LOG');
  t.equal(await first.acquire(), true);
  const before = openIn(directory);
  const second = new FileLock(path, 'WORKER_AUDIT_LOG');
  await t.rejects(second.acquire(), { name: 'FileInUseError' });
  await second.release();
  t.equal(openIn(directory), before);
  await first.release();
  t.equal(openIn(directory), 0);
});

t.test('a lock that is released while it is taken leaves no descriptor open', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  writeFileSync(path, '');
  for (let turns = 0; turns < 40; turns++) {
    const lock = new FileLock(path, 'WORKER_AUDIT_LOG');
    const taken = lock.acquire().then(
      () => 'taken',
      (error: Error) => error.message,
    );
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    await lock.release();
    t.match(await taken, /^taken$|was released$/);
    t.equal(openIn(directory), 0, `after ${turns} turns`);
  }
});
