import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { isPrivate, readBytes, readPrivate } from '../../src/config/private_file.js';
import { FileCalls } from '../../src/storage/file_calls.js';
import { Authority } from '../support/certificates.js';
import { newPrivateKey } from '../support/key_files.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

const root = 0;
const worker = 1000;
const other = 1001;

t.test('a non-root worker accepts a file of root that a group or an ACL can read', async (t) => {
  for (const mode of [0o440, 0o400, 0o640, 0o600]) t.ok(isPrivate({ mode, uid: root }, worker), mode.toString(8));
  // A regular file, as stat reports it.
  t.ok(isPrivate({ mode: 0o100440, uid: root }, worker));
});

t.test('a file that others can read, write or execute is not private', async (t) => {
  for (const uid of [root, worker, other]) {
    for (const bit of [0o004, 0o002, 0o001, 0o020, 0o010]) {
      for (const user of [root, worker]) t.notOk(isPrivate({ mode: 0o400 | bit, uid }, user), `${uid} ${bit} ${user}`);
    }
  }
});

t.test('a group may not read a file of another owner, or a file of a root worker', async (t) => {
  t.notOk(isPrivate({ mode: 0o440, uid: worker }, worker));
  t.notOk(isPrivate({ mode: 0o440, uid: other }, worker));
  t.notOk(isPrivate({ mode: 0o440, uid: root }, root));
});

const skip = process.geteuid?.() === root ? {} : { skip: 'only root can create a file of root' };

t.test(
  'a non-root worker accepts secrets of root that its group can read, as Kubernetes mounts them',
  skip,
  async (t) => {
    const directory = temporaryDirectory(t);
    chmodSync(directory, 0o755);
    const { cert, key } = new Authority(t).certificate;
    const contents = {
      WORKER_API_TOKEN_FILE: 'a'.repeat(32),
      WORKER_READ_TOKEN_FILE: 'b'.repeat(32),
      WORKER_SEAL_KEY_FILE: newPrivateKey(),
      WORKER_TLS_CERT_FILE: cert,
      WORKER_TLS_KEY_FILE: key,
    };
    const environment: NodeJS.ProcessEnv = { WORKER_SEAL_ALG: 'Ed25519' };
    for (const [name, content] of Object.entries(contents)) {
      const path = join(directory, name);
      environment[name] = path;
      writeFileSync(path, content);
      chownSync(path, root, worker);
      chmodSync(path, 0o440);
    }
    const load = () => asWorker(() => loadConfig(environment, { simulate: false, directory }));
    t.match(await load(), { apiToken: Buffer.from(contents.WORKER_API_TOKEN_FILE), tls: { keyFile: String } });
    for (const name of Object.keys(contents).filter((name) => name !== 'WORKER_TLS_CERT_FILE')) {
      chmodSync(join(directory, name), 0o444);
      const message = `${name} is readable by other users: use mode 0600, or 0440 if root owns the file`;
      await t.rejects(load(), { name: 'ConfigError', message });
      chmodSync(join(directory, name), 0o440);
    }
  },
);

/** Runs a function as a user that is not root, with the rights of its group. */
async function asWorker<T>(act: () => Promise<T>): Promise<T> {
  process.setgroups?.([worker]);
  process.seteuid?.(worker);
  try {
    return await act();
  } finally {
    process.seteuid?.(root);
  }
}

t.test('a file of 1 MiB is read completely, and a larger one is refused', async (t) => {
  const path = join(temporaryDirectory(t), 'bundle');
  const files = new FileCalls(30);
  const before = openDescriptors();
  const bytes = Buffer.alloc(1024 ** 2, 7);
  writeFileSync(path, bytes);
  t.ok((await readBytes('X', path, files)).equals(bytes));
  writeFileSync(path, Buffer.concat([bytes, bytes.subarray(0, 1)]));
  await t.rejects(readBytes('X', path, files), { name: 'ConfigError', message: 'X is larger than 1 MiB' });
  t.same(newDescriptors(before), [], 'every descriptor is closed');
});

t.test('an error says whether the file is missing, unreadable or readable by others', async (t) => {
  const directory = temporaryDirectory(t);
  const [absent, loop, shared] = [join(directory, 'a'), join(directory, 'b'), join(directory, 'c')];
  symlinkSync('b', loop);
  writeFileSync(shared, 'x', { mode: 0o644 });
  const files = new FileCalls(30);
  await t.rejects(readPrivate('X', absent, files), { message: /^X names a file that does not exist$/ });
  await t.rejects(readPrivate('X', loop, files), { message: /^X cannot be read$/ });
  const advice = process.geteuid?.() === root ? 'use mode 0600' : 'use mode 0600, or 0440 if root owns the file';
  await t.rejects(readPrivate('X', shared, files), { message: new RegExp(`: ${advice}$`) });
});

t.test('a pipe is refused without waiting for its writer', async (t) => {
  const path = join(temporaryDirectory(t), 'pipe');
  execFileSync('mkfifo', [path]);
  await t.rejects(readBytes('WORKER_TLS_CERT_FILE', path, new FileCalls(30)), {
    message: 'WORKER_TLS_CERT_FILE is not a file',
  });
});
