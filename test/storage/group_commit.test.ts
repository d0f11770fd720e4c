import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { type FileSystem, nodeFileSystem } from '../../src/storage/fs.js';
import { GroupCommit, maxQueued, type Outage } from '../../src/storage/group_commit.js';
import { eventsOf, logAt, readChain, sealed } from '../support/audit.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

/** A group commit to memory. `write` can be replaced. */
function commits(deadlineMs = 5000) {
  const writes: string[][] = [];
  const outages: (Outage | undefined)[] = [];
  const changes: unknown[] = [];
  const state = { before: async (_signal: AbortSignal): Promise<void> => undefined };
  const commit = new GroupCommit<string>({
    write: async (items, signal, outage) => {
      await state.before(signal);
      signal.throwIfAborted();
      writes.push([...items]);
      outages.push(outage);
      return items.length;
    },
    check: async () => state.before(new AbortController().signal),
    unavailable: (cause) => new Error('unavailable', { cause }),
    onChange: (cause) => changes.push(cause),
    deadlineMs,
  });
  return { commit, writes, outages, changes, state };
}

t.test('items that wait at the same time share one write, in order', async (t) => {
  const { commit, writes } = commits();
  await Promise.all(['a', 'b', 'c'].map((item) => commit.append(item)));
  t.same(writes, [['a', 'b', 'c']]);
  const many = Array.from({ length: 1000 }, (_, index) => String(index));
  await Promise.all(many.map((item) => commit.append(item)));
  t.equal(writes.length, 1 + Math.ceil(1000 / 128));
  t.same(writes.slice(1).flat(), many);
});

t.test('what a write did not take is in the next one, and resolves after it', async (t) => {
  const taken: string[][] = [];
  const commit = new GroupCommit<string>({
    write: async (items) => {
      taken.push(items.slice(0, 2));
      return Math.min(items.length, 2);
    },
    check: async () => undefined,
    unavailable: () => new Error('unavailable'),
    onChange: () => undefined,
    deadlineMs: 5000,
  });
  await Promise.all(['a', 'b', 'c'].map((item) => commit.append(item)));
  t.same(taken, [['a', 'b'], ['c']]);
});

t.test('close writes what waits, and calls nothing if nothing waits', async (t) => {
  const { commit, writes } = commits();
  await commit.append('a');
  await commit.close(async () => undefined);
  t.same(writes, [['a']]);
  const other = commits();
  const appended = other.commit.appendBestEffort('b');
  await other.commit.close(async () => undefined);
  await appended;
  t.same(other.writes, [['b']]);
});

t.test('an item resolves only after its write', async (t) => {
  const { commit, writes, state } = commits();
  let finish = (): void => undefined;
  state.before = () => new Promise((resolve) => (finish = resolve));
  let settled = false;
  const appended = commit.append('a').then(() => (settled = true));
  await nextTurn();
  t.notOk(settled);
  finish();
  await appended;
  t.same(writes, [['a']]);
});

t.test('a hung write refuses all required items at the deadline, until it returns', async (t) => {
  const { commit, writes, outages, changes, state } = commits(20);
  let finish = (): void => undefined;
  state.before = () => new Promise((resolve) => (finish = resolve));
  const first = commit.append('first');
  const kept = commit.appendBestEffort('kept');
  await t.rejects(first, { message: 'unavailable' });
  await kept;
  t.notOk(commit.isWritable);
  t.equal(changes.length, 1);
  await t.rejects(commit.append('refused'), { message: 'unavailable' });
  t.notOk(await commit.recover(), 'nothing else begins while it hangs');
  await commit.appendBestEffort('also kept');
  state.before = async () => undefined;
  finish();
  await until(() => commit.isWritable);
  t.same(writes, [['kept', 'also kept']], 'the late write does not count, and best-effort items are not lost');
  t.same(outages, [{ late: 2, dropped: 0 }]);
});

t.test('required items beyond the bound are refused, and the oldest best-effort items are dropped', async (t) => {
  const { commit, outages, state } = commits();
  state.before = () => Promise.reject(new Error('full'));
  for (let index = 0; index < maxQueued + 3; index++) void commit.appendBestEffort(String(index));
  await until(() => !commit.isWritable);
  state.before = async () => undefined;
  t.ok(await commit.recover());
  t.same(outages[0], { late: maxQueued, dropped: 3 });

  let finish = (): void => undefined;
  state.before = () => new Promise((resolve) => (finish = resolve));
  const waiting = Array.from({ length: maxQueued }, (_, index) => commit.append(String(index)));
  await t.rejects(commit.append('one too many'), { message: 'unavailable' });
  await nextTurn();
  state.before = async () => undefined;
  finish();
  await Promise.all(waiting);
});

t.test('a late sync of the audit log leaves no refused entry, and the chain continues', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  let finish = (): void => undefined;
  let hangs = false;
  const write: FileSystem['write'] = async (...args) => {
    const written = await nodeFileSystem.write(...args);
    if (hangs) await new Promise<void>((resolve) => (finish = resolve));
    return written;
  };
  const log = logAt(path, { fs: { ...nodeFileSystem, write } });
  await log.append([sealed('a')]);
  hangs = true;
  const abort = new AbortController();
  const late = log.append([sealed('b')], abort.signal);
  await until(() => eventsOf(path).length === 2);
  abort.abort(new Error('too late'));
  hangs = false;
  finish();
  await t.rejects(late, { message: 'too late' });
  t.equal(eventsOf(path).length, 1, 'the entry is removed');
  await log.append([sealed('c')]);
  t.same(
    readChain(path).map(({ shard_id }) => shard_id),
    ['a', 'c'],
  );
});
