import { chmodSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { WorkerError } from '../../src/errors.js';
import { FileWatch } from '../../src/process/file_watch.js';
import type { WatchReport } from '../../src/process/watched_group.js';
import type { FileCalls } from '../../src/storage/file_calls.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

const intervalMs = 20;
/** Longer than any call takes that does not hang. */
const timeoutSeconds = 60;

/** A watch over one file. `reload` reads it, and runs `check` on the text. */
function watchFile(t: Test, check: (text: string) => void = () => undefined) {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'file');
  writeFileSync(path, 'one', { mode: 0o600 });
  let text = 'one';
  const state = { reloads: 0, reloaded: [] as string[], failed: [] as string[] };
  const reload = async (): Promise<boolean> => {
    state.reloads++;
    const before = text;
    const now = readFileSync(path, 'utf8');
    check(now);
    text = now;
    return now !== before;
  };
  const report: WatchReport = {
    reloaded: (name) => state.reloaded.push(name),
    failed: (_name, error) => state.failed.push(String(error)),
  };
  const group = { name: 'files', paths: [path, join(directory, 'absent')], reload };
  const watch = new FileWatch([group], { report, intervalMs, timeoutSeconds });
  t.teardown(() => watch.close());
  return { watch, state, directory, path };
}

/** Replaces a file in one step, so that a watch never sees half of the change. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

const changes: Readonly<Record<string, (path: string, directory: string) => void>> = {
  'a write': (path) => writeFileSync(path, 'two'),
  'a write that keeps its size and modification time': (path) => {
    const { atime, mtime } = statSync(path);
    writeFileSync(path, 'two');
    utimesSync(path, atime, mtime);
  },
  'a rename': (path) => replace(path, 'two'),
  'a new link': (path, directory) => {
    writeFileSync(join(directory, 'target'), 'two');
    symlinkSync('target', join(directory, 'link'));
    renameSync(join(directory, 'link'), path);
  },
  'a new file after it was absent': (path) => {
    rmSync(path);
    setTimeout(() => writeFileSync(path, 'two'), 5 * intervalMs);
  },
};

for (const [name, change] of Object.entries(changes)) {
  t.test(`the watch reloads a file after ${name}`, async (t) => {
    const { state, path, directory } = watchFile(t);
    await until(() => state.reloads > 0);
    change(path, directory);
    await until(() => state.reloaded.length > 0);
    t.same(state.reloaded, ['files']);
  });
}

t.test('the first tick reloads a file that changed before the watch saw it', async (t) => {
  const { state, path } = watchFile(t);
  writeFileSync(path, 'two');
  await until(() => state.reloaded.length > 0);
  t.same(state.failed, []);
});

t.test('a change of permissions reloads the file', async (t) => {
  const { state, path } = watchFile(t);
  await until(() => state.reloads > 0);
  const { reloads } = state;
  chmodSync(path, 0o640);
  await until(() => state.reloads > reloads);
  t.same(state.reloaded, [], 'the contents are the same');
});

t.test('an invalid file is reported once and reloaded after the next change', async (t) => {
  const { state, path } = watchFile(t, (text) => {
    if (text === 'bad') throw new Error('it is bad');
  });
  await until(() => state.reloads > 0);
  replace(path, 'bad');
  await until(() => state.failed.length > 0);
  const { reloads } = state;
  await sleep(5 * intervalMs);
  t.equal(state.reloads, reloads, 'no retry');
  chmodSync(path, 0o640);
  await until(() => state.reloads > reloads);
  t.same(state.failed, ['Error: it is bad'], 'the same error is not reported again');
  writeFileSync(path, 'two');
  await until(() => state.reloaded.length > 0);
});

t.test('a retriable error is retried without a change', async (t) => {
  let attempts = 0;
  const { state } = watchFile(t, () => {
    if (++attempts < 4) throw new WorkerError('AUDIT_UNAVAILABLE', 'the audit log cannot be written');
  });
  await until(() => attempts === 4);
  t.equal(state.failed.length, 1, 'it is reported once');
  await sleep(5 * intervalMs);
  t.equal(attempts, 4, 'no retry after success');
});

t.test('reloadAll reloads an unchanged file and reports the same error again, until the watch is closed', async (t) => {
  const { watch, state, path } = watchFile(t, () => {
    throw new Error('it is bad');
  });
  watch.reloadAll();
  await until(() => state.failed.length === 1);
  watch.reloadAll();
  await until(() => state.failed.length === 2);
  t.same(state.failed, ['Error: it is bad', 'Error: it is bad']);
  watch.close();
  const { reloads } = state;
  watch.reloadAll();
  writeFileSync(path, 'two');
  await sleep(5 * intervalMs);
  t.equal(state.reloads, reloads);
});

/** A watch whose reloads end when the test says so. `failed` has their errors. */
function watchSlowly(t: Test, seconds = timeoutSeconds) {
  const path = join(temporaryDirectory(t), 'file');
  writeFileSync(path, 'one', { mode: 0o600 });
  const failed: string[] = [];
  const reloads: (() => void)[] = [];
  const report: WatchReport = {
    reloaded: () => undefined,
    // Until the first reload runs, a call of the watch itself can be the one that takes too long.
    failed: (_name, error) => void (reloads.length > 0 && failed.push(String(error))),
  };
  const reload = (files: FileCalls): Promise<boolean> =>
    files.run('X', () => new Promise((resolve) => reloads.push(() => resolve(false))));
  const watch = new FileWatch([{ name: 'files', paths: [path], reload }], {
    report,
    intervalMs,
    timeoutSeconds: seconds,
  });
  t.teardown(() => watch.close());
  return { watch, path, failed, reloads };
}

t.test('any number of requests while a reload runs causes exactly one more', async (t) => {
  const { watch, reloads } = watchSlowly(t);
  await until(() => reloads.length === 1, 'the first reload runs');
  t.same(
    Array.from({ length: 1000 }, () => watch.reloadAll()).filter((isNew) => isNew),
    [true],
  );
  t.equal(reloads.length, 1, 'one at a time');
  reloads[0]?.();
  await until(() => reloads.length === 2, 'the requested reload runs');
  reloads[1]?.();
  await sleep(5 * intervalMs);
  t.equal(reloads.length, 2);
});

t.test('a change while a reload runs is reloaded after it', async (t) => {
  const { path, reloads } = watchSlowly(t);
  await until(() => reloads.length === 1, 'the first reload runs');
  chmodSync(path, 0o640);
  await sleep(5 * intervalMs);
  t.equal(reloads.length, 1, 'one at a time');
  reloads[0]?.();
  await until(() => reloads.length === 2, 'the change is reloaded');
  reloads[1]?.();
});

t.test('a reload that hangs is reported once; the next one begins after the call returned', async (t) => {
  const { watch, failed, reloads } = watchSlowly(t, 0.2);
  await until(() => failed.length === 1, 'the deadline ends it');
  t.match(failed, ['FileTimeoutError: X: its file system did not respond within 0.2 seconds']);
  await sleep(5 * intervalMs);
  t.equal(failed.length, 1);
  watch.reloadAll();
  await until(() => failed.length === 2, 'a request reports it again');
  t.equal(reloads.length, 1, 'no other call occupies a thread');
  reloads[0]?.();
  await until(() => reloads.length === 2, 'the watch retries without a change');
  reloads[1]?.();
});
