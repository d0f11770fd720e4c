import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { SocketFile } from '../../src/ipc/socket_file.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

const setting = 'WORKER_ATTACH_SOCKET';
const isRoot = process.geteuid?.() === 0;

t.test('the socket has mode 0600 from the first moment on, and is removed at the end', async (t) => {
  const path = join(temporaryDirectory(t), 'attach.sock');
  const umask = process.umask(0);
  const file = await SocketFile.create({ path, setting });
  t.equal(process.umask(umask), 0, 'the umask is restored');
  t.equal(statSync(path).mode & 0o777, 0o600);
  await file.remove();
  t.notOk(existsSync(path));
});

t.test('a group may use the socket', { skip: !isRoot }, async (t) => {
  const path = join(temporaryDirectory(t), 'attach.sock');
  const file = await SocketFile.create({ path, setting, group: 4321 });
  t.match(statSync(path), { gid: 4321 });
  t.equal(statSync(path).mode & 0o777, 0o660);
  await file.remove();
});

t.test('a directory that others can write, or that is a link, is refused', async (t) => {
  const directory = temporaryDirectory(t);
  const refused = (path: string, message: RegExp) => t.rejects(SocketFile.create({ path, setting }), { message });
  chmodSync(directory, 0o770);
  await refused(join(directory, 'attach.sock'), /others must not write it/);
  chmodSync(directory, 0o700);
  symlinkSync(directory, join(directory, 'link'));
  await refused(join(directory, 'link', 'attach.sock'), /is not a directory/);
  await refused(join(directory, 'missing', 'attach.sock'), /is not a directory/);
  await refused(join(directory, 'x'.repeat(120)), /too long/);
  if (!isRoot) return;
  mkdirSync(join(directory, 'other'));
  spawnSync('chown', ['65534', join(directory, 'other')]);
  await refused(join(directory, 'other', 'attach.sock'), /must belong to this user/);
});

t.test('a dead socket is replaced; a live one, and any other file, stops the start', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'attach.sock');
  const program = `process.umask(0o177); require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', program]);
  t.ok(statSync(path).isSocket(), 'a killed process leaves its socket');
  const file = await SocketFile.create({ path, setting });
  await t.rejects(SocketFile.create({ path, setting }), { name: 'FileInUseError' }, 'another worker');
  await file.remove();

  const foreign = createServer().listen(path);
  await new Promise((resolve) => foreign.once('listening', resolve));
  await t.rejects(SocketFile.create({ path, setting }), { name: 'FileInUseError' }, 'another program');
  t.ok(existsSync(path));
  await new Promise((resolve) => foreign.close(resolve));

  writeFileSync(path, 'data');
  await t.rejects(SocketFile.create({ path, setting }), { message: /is not a socket/ });
  t.ok(existsSync(path));
});

t.test('a socket file that was removed or replaced while the process ran is left as it is', async (t) => {
  const path = join(temporaryDirectory(t), 'attach.sock');
  const removed = await SocketFile.create({ path, setting });
  rmSync(path);
  await removed.remove();
  t.notOk(existsSync(path));

  const replaced = await SocketFile.create({ path, setting });
  renameSync(path, `${path}.old`);
  writeFileSync(path, 'data');
  await replaced.remove();
  t.equal(readFileSync(path, 'utf8'), 'data');
});
