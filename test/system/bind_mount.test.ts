import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { FailingFiles } from '../support/failing_files.js';
import { get, upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';

/** Mounts a file over another one until the test ends. Returns false if this user may not. */
function bindMount(t: Test, from: string, to: string): boolean {
  try {
    execFileSync('mount', ['--bind', from, to], { stdio: 'ignore' });
  } catch {
    return false;
  }
  t.teardown(() => execFileSync('umount', ['-l', to]));
  return true;
}

t.test('a bind mount is no other file, and the worker that uses one recovers from a failure', async (t) => {
  const directory = temporaryDirectory(t);
  const [names, mounts] = [['audit.log', 'manifest'], join(directory, 'mounts')];
  mkdirSync(mounts);
  const env = (folder: string) => ({
    WORKER_AUDIT_LOG: join(folder, 'audit.log'),
    WORKER_MANIFEST: join(folder, 'manifest'),
  });
  await (await startWorker(t, { env: env(directory) })).stop();
  for (const name of names) {
    writeFileSync(join(mounts, name), '');
    if (!bindMount(t, join(directory, name), join(mounts, name))) {
      return void t.pass('a bind mount', { skip: 'only root can make one' });
    }
  }
  const files = FailingFiles.below(t, mounts);
  const worker = await startWorker(t, { env: env(mounts) });
  for (const [name, path] of Object.entries(env(directory))) {
    await t.rejects(startWorker(t, { env: { [name]: path } }), { name: 'FileInUseError' });
  }
  for (let nth = 1; nth <= 12; nth++) {
    files.fail(nth, false);
    await upload(worker, `s${nth}`, patternBytes(5));
    files.heal();
    await until(async () => (await get(worker, '/readyz')).statusCode === 200, `call ${nth}`);
  }
  t.equal((await upload(worker, 'last', patternBytes(5))).statusCode, 201);
});
