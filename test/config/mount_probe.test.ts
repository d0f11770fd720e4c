import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { requireResponse } from '../../src/config/mount_probe.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

/** Makes a directory the only one with programs, until the test ends. */
function usePath(t: Test, directory: string): void {
  const before = process.env.PATH;
  process.env.PATH = directory;
  t.teardown(() => {
    process.env.PATH = before;
  });
}

t.test('a file system responds if the path exists, and if it does not', async (t) => {
  await t.resolves(requireResponse('X', '/', 30));
  await t.resolves(requireResponse('X', '/nonexistent', 30));
});

t.test('a file system that does not respond is named by the setting', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'stat'), '#!/bin/sh\nexec /bin/sleep 60\n');
  chmodSync(join(directory, 'stat'), 0o755);
  usePath(t, directory);
  const problem = 'X: its file system did not respond within 0.1 seconds';
  await t.rejects(requireResponse('X', '/', 0.1), { name: 'FileTimeoutError', message: problem });
});

t.test('without the program `stat` there is no probe', async (t) => {
  usePath(t, temporaryDirectory(t));
  await t.resolves(requireResponse('X', '/', 30));
});
