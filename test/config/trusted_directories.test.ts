import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { isReplaceable, requireTrustedDirectories } from '../../src/config/trusted_directories.js';
import { FileCalls } from '../../src/storage/file_calls.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

const files = new FileCalls(30);

t.test('an entry of a directory is replaceable by its mode, its sticky bit and the owner of the entry', async (t) => {
  const entry = (uid: number) => ({ mode: 0o600, uid });
  const cases = [
    [0o755, entry(1), false],
    [0o775, entry(1), false],
    [0o757, entry(1000), true],
    [0o777, undefined, true],
    [0o1777, entry(1000), false],
    [0o1777, entry(0), false],
    [0o1777, entry(1), true],
    [0o1777, undefined, false],
  ] as const;
  for (const [mode, file, expected] of cases) {
    t.equal(isReplaceable({ mode, uid: 0 }, file, 1000), expected, `${mode.toString(8)}, owner ${file?.uid}`);
  }
});

t.test('every directory on the way to the file counts, and the way to its target', async (t) => {
  const directory = temporaryDirectory(t);
  const [open, inner, closed] = ['open', 'open/inner', 'closed'].map((name) => join(directory, name));
  for (const path of [open, inner, closed]) mkdirSync(String(path));
  writeFileSync(join(String(inner), 'file'), 'x');
  chmodSync(String(open), 0o777);
  symlinkSync(join(String(inner), 'file'), join(String(closed), 'link'));
  const refused = { name: 'ConfigError', message: new RegExp(`^X can be replaced by other users: .* ${open}$`) };
  await t.rejects(requireTrustedDirectories('X', join(String(open), 'absent'), files), refused);
  await t.rejects(requireTrustedDirectories('X', join(String(inner), 'file'), files), refused);
  await t.rejects(requireTrustedDirectories('X', join(String(closed), 'link'), files), refused);
  await t.resolves(requireTrustedDirectories('X', join(String(closed), 'absent'), files));
  chmodSync(String(open), 0o1777);
  await t.resolves(requireTrustedDirectories('X', join(String(inner), 'file'), files));
});

t.test('a link on the way to another link counts too', async (t) => {
  const directory = temporaryDirectory(t);
  const [open, closed] = ['open', 'closed'].map((name) => join(directory, name)) as [string, string];
  for (const path of [open, closed]) mkdirSync(path);
  mkdirSync(join(closed, 'folder'));
  writeFileSync(join(closed, 'folder/file'), 'x');
  chmodSync(open, 0o777);
  symlinkSync('../closed/folder/file', join(open, 'file'));
  symlinkSync('../closed/folder', join(open, 'folder'));
  symlinkSync('../open/file', join(closed, 'file'));
  symlinkSync(join(open, 'folder'), join(closed, 'link'));
  const refused = { name: 'ConfigError', message: new RegExp(`^X can be replaced by other users: .* ${open}$`) };
  await t.rejects(requireTrustedDirectories('X', join(closed, 'file'), files), refused, 'a link to the file');
  await t.rejects(requireTrustedDirectories('X', join(closed, 'link/file'), files), refused, 'a link to its folder');
  await t.rejects(requireTrustedDirectories('X', join(closed, 'link/absent'), files), refused, 'of an absent file');
  chmodSync(open, 0o755);
  await t.resolves(requireTrustedDirectories('X', join(closed, 'file'), files));
  symlinkSync('loop', join(closed, 'loop'));
  await t.resolves(requireTrustedDirectories('X', join(closed, 'loop'), files), 'what opens a loop refuses it');
});

t.test('all links that the kernel follows count, and it follows forty', async (t) => {
  const directory = temporaryDirectory(t);
  const open = join(directory, 'open');
  mkdirSync(open);
  chmodSync(open, 0o777);
  writeFileSync(join(open, 'link0'), 'x');
  const link = (count: number) => join(directory, `link${count}`);
  symlinkSync(join(open, 'link0'), link(1));
  for (let count = 2; count <= 41; count++) symlinkSync(link(count - 1), link(count));
  t.equal(readFileSync(link(40), 'utf8'), 'x');
  t.throws(() => readFileSync(link(41)), { code: 'ELOOP' });
  await t.rejects(requireTrustedDirectories('X', link(40), files), { name: 'ConfigError', message: new RegExp(open) });
});

t.test('the worker refuses each of its files in a directory that other users can write', async (t) => {
  const directory = temporaryDirectory(t);
  const open = join(directory, 'open');
  mkdirSync(open);
  chmodSync(open, 0o777);
  const secret = (folder: string, name: string) => {
    writeFileSync(join(folder, name), `${name}-0123456789abcdef0123456789abcdef`, { mode: 0o600 });
    return join(folder, name);
  };
  const valid = { WORKER_ID: 'w', WORKER_API_TOKEN_FILE: secret(directory, 'token') };
  const settings = {
    WORKER_API_TOKEN_FILE: secret(open, 'token'),
    WORKER_READ_TOKEN_FILE: secret(open, 'reader'),
    WORKER_SEAL_KEY_FILE: secret(open, 'seal'),
    WORKER_MANIFEST: join(open, 'manifest'),
    WORKER_AUDIT_LOG: join(open, 'audit.log'),
    WORKER_CUDA_KERNELS: secret(open, 'kernels'),
    WORKER_CUDA_DRIVER: secret(open, 'driver'),
  };
  await t.resolves(loadConfig(valid, { simulate: true, directory }));
  for (const [name, path] of Object.entries(settings)) {
    const refused = { name: 'ConfigError', message: new RegExp(`^${name} can be replaced`) };
    await t.rejects(loadConfig({ ...valid, [name]: path }, { simulate: true, directory }), refused, name);
  }
  const { WORKER_ID } = valid;
  const refused = { message: /^the token file .worker\/token can be replaced/ };
  await t.rejects(loadConfig({ WORKER_ID }, { simulate: true, directory: open }), refused, '.worker');
});
