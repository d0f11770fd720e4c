import { chmodSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { WorkerError } from '../../src/errors.js';
import { FileWatch } from '../../src/process/file_watch.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

const intervalMs = 20;

/** A watch over one file. `reload` reads it, and runs `check` on the text. */
function watchFile(t: Test, check: (text: string) => void = () => undefined) {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'file');
  writeFileSync(path, 'one', { mode: 0o600 });
  let text = 'one';
  const state = { reloads: 0, reloaded: [] as string[], failed: [] as string[] };
  const reload = (): boolean => {
    state.reloads++;
    const before = text;
    const now = readFileSync(path, 'utf8');
    check(now);
    text = now;
    return now !== before;
  };
  const watch = new FileWatch(
    [{ name: 'files', paths: [path, join(directory, 'absent')], reload }],
    { reloaded: (name) => state.reloaded.push(name), failed: (_name, error) => state.failed.push(String(error)) },
    intervalMs,
  );
  t.teardown(() => watch.close());
  return { watch, state, directory, path };
}

const changes: Readonly<Record<string, (path: string, directory: string) => void>> = {
  'a write': (path) => writeFileSync(path, 'two'),
  'a write that keeps its size and modification time': (path) => {
    const { atime, mtime } = statSync(path);
    writeFileSync(path, 'two');
    utimesSync(path, atime, mtime);
  },
  'a rename': (path, directory) => {
    writeFileSync(join(directory, 'new'), 'two');
    renameSync(join(directory, 'new'), path);
  },
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
  writeFileSync(path, 'bad');
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
