import { existsSync, linkSync, lstatSync, renameSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventsOf } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { startWorker } from '../support/worker.js';

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
