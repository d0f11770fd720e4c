import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventsOf } from '../support/audit.js';
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

t.test(
  'a second worker does not start on the audit log or the manifest of another, and names the setting',
  async (t) => {
    const directory = temporaryDirectory(t);
    const files = { WORKER_AUDIT_LOG: join(directory, 'audit.log'), WORKER_MANIFEST: join(directory, 'manifest') };
    const first = await startWorker(t, { env: files });
    for (const name of ['WORKER_AUDIT_LOG', 'WORKER_MANIFEST'] as const) {
      const link = join(directory, `${name}.link`);
      symlinkSync(files[name], link);
      for (const path of [files[name], link]) {
        const start = startWorker(t, { env: { [name]: path } });
        await t.rejects(start, {
          name: 'FileInUseError',
          message: new RegExp(`^${name}: .* in use by another worker`),
        });
      }
    }
    t.equal((await upload(first, 'a', patternBytes(5))).statusCode, 201, 'the first worker is not disturbed');
    await first.stop();
    const next = await startWorker(t, { env: files });
    t.ok(next.residency.health());
    t.equal(eventsOf(files.WORKER_AUDIT_LOG).filter((event) => event === 'WorkerStarted').length, 2);
  },
);

t.test('files behind links are locked and replaced, not the links, also before they exist', async (t) => {
  const directory = temporaryDirectory(t);
  const names = ['WORKER_AUDIT_LOG', 'WORKER_MANIFEST'] as const;
  const links = { WORKER_AUDIT_LOG: join(directory, 'log.link'), WORKER_MANIFEST: join(directory, 'manifest.link') };
  for (const name of names) symlinkSync(`${name}.file`, links[name]);
  const worker = await startWorker(t, { env: links });
  await upload(worker, 'a', patternBytes(5));
  for (const name of names) {
    t.ok(lstatSync(links[name]).isSymbolicLink());
    t.ok(lstatSync(join(directory, `${name}.file`)).isFile());
    for (const path of [links[name], join(directory, `${name}.file`)]) {
      await t.rejects(startWorker(t, { env: { [name]: path } }), { name: 'FileInUseError' });
    }
  }
});

t.test('a hard link is no other file, also after the worker has replaced or rotated it', async (t) => {
  const directory = temporaryDirectory(t);
  const files = { WORKER_AUDIT_LOG: join(directory, 'audit.log'), WORKER_MANIFEST: join(directory, 'manifest') };
  const env = { ...files, WORKER_AUDIT_MAX_BYTES: '4096' };
  const first = await startWorker(t, { env });
  await upload(first, 's', patternBytes(5));
  await first.stop();
  for (const path of Object.values(files)) linkSync(path, `${path}.linked`);
  const worker = await startWorker(t, { env });
  const refused = async (suffix: string) => {
    for (const [name, path] of Object.entries(files)) {
      const start = startWorker(t, { env: { [name]: `${path}.${suffix}` } });
      await t.rejects(start, { name: 'FileInUseError', message: new RegExp(`^${name}: `) }, suffix);
    }
  };
  await refused('linked');
  renameSync(files.WORKER_MANIFEST, `${files.WORKER_MANIFEST}.away`);
  for (let index = 0; index < 10; index++) await upload(worker, `s${index}`, patternBytes(5));
  t.not(statSync(files.WORKER_MANIFEST).ino, statSync(`${files.WORKER_MANIFEST}.linked`).ino, 'it was replaced');
  t.not(statSync(files.WORKER_AUDIT_LOG).ino, statSync(`${files.WORKER_AUDIT_LOG}.linked`).ino, 'it was rotated');
  await refused('linked');
  for (const path of Object.values(files)) linkSync(path, `${path}.new-link`);
  await refused('new-link');
});

t.test('a bind mount is no other file, and the worker that uses one recovers from a failure', async (t) => {
  const directory = temporaryDirectory(t);
  const [names, mounts] = [['audit.log', 'manifest'], join(directory, 'mounts')];
  mkdirSync(mounts);
  for (const name of names) writeFileSync(join(directory, name), '', { mode: 0o600 });
  const env = (folder: string) => ({
    WORKER_AUDIT_LOG: join(folder, 'audit.log'),
    WORKER_MANIFEST: join(folder, 'manifest'),
  });
  rmSync(join(directory, 'manifest'));
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

t.test('the lock survives the rotation of the audit log', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path, WORKER_AUDIT_MAX_BYTES: '4096' } });
  for (let index = 0; index < 10; index++) await upload(worker, `s${index}`, patternBytes(5));
  t.ok(eventsOf(path).includes('AuditCheckpoint'), 'the log was rotated');
  await t.rejects(startWorker(t, { env: { WORKER_AUDIT_LOG: path } }), { name: 'FileInUseError' });
});

t.test('a start that fails releases its locks', async (t) => {
  const directory = temporaryDirectory(t);
  const [audit, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  const holder = await startWorker(t, { env: { WORKER_MANIFEST: manifest } });
  const env = { WORKER_AUDIT_LOG: audit, WORKER_MANIFEST: manifest };
  await t.rejects(startWorker(t, { env }), { message: /^WORKER_MANIFEST/ });
  await holder.stop();
  t.ok((await startWorker(t, { env })).residency);
  t.ok(existsSync(`${audit}.lock`));
});
