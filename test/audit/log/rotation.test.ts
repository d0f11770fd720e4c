import { existsSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rotatedFiles } from '../../../src/audit/log/rotation.js';
import { verifyLog } from '../../../src/audit/verify/verify_log.js';
import { type FileSystem, nodeFileSystem } from '../../../src/storage/fs.js';
import { eventsOf, logAt, logFiles, readChain, sealed } from '../../support/audit.js';
import { verifyFiles } from '../../support/audit_verify.js';
import { failingFileSystem } from '../../support/storage_file_system.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('no file grows beyond its limit; the chain continues in the next file, also after a restart', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const maxBytes = 5000;
  for (let restart = 0; restart < 3; restart++) {
    const log = logAt(path, { maxBytes });
    for (let index = 0; index < 30; index++) await log.append([sealed(`${index}`)]);
    await log.close();
  }
  const files = logFiles(path);
  t.ok(files.length > 5, `${files.length} files`);
  for (const file of files) t.ok(statSync(file).size <= maxBytes, file);
  for (const file of files.slice(0, -1)) {
    const last = JSON.parse(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '');
    t.equal(file, `${path}.${String(last.seq).padStart(12, '0')}`, 'the name has the number of the last entry');
  }
  for (const file of files.slice(1)) {
    const first = JSON.parse(readFileSync(file, 'utf8').split('\n')[0] ?? '');
    t.match(first, { event: 'AuditCheckpoint', reason: 'rotation' });
    t.equal(verifyLog([file], { kept: new Map() }).kind, 'whole', 'it can be verified alone');
  }
  t.equal(readChain(path).filter(({ event }) => event === 'VramSealed').length, 90);
  t.match(verifyFiles(path), { kind: 'whole', firstSeq: 1 });
  const gap = files.toSpliced(2, 1);
  const before =
    readFileSync(files[1] ?? '', 'utf8')
      .trimEnd()
      .split('\n')
      .at(-1) ?? '';
  t.match(verifyLog(gap, { kept: new Map() }), { kind: 'tampered', seq: JSON.parse(before).seq + 1, line: 1 });
});

t.test('a file may have exactly as many bytes as its limit', async (t) => {
  const directory = temporaryDirectory(t);
  const lengthOf = async (name: string, maxBytes: number) => {
    const log = logAt(join(directory, name), { maxBytes });
    await log.append([sealed('a')]);
    await log.append([sealed('b')]);
    await log.close();
    return logFiles(join(directory, name)).length;
  };
  await lengthOf('probe', 1_000_000);
  const { size } = statSync(join(directory, 'probe'));
  t.equal(await lengthOf('fits', size), 1);
  t.equal(await lengthOf('full', size - 1), 2);
});

t.test('an entry larger than the limit gets a file of its own', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path, { maxBytes: 100 });
  await log.append([sealed('a')]);
  t.same(logFiles(path), [path]);
  await log.append([sealed('b')]);
  t.equal(logFiles(path).length, 2);
  t.equal(verifyFiles(path).kind, 'whole');
});

t.test('a missing newline is written before the file is rotated', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a')]);
  await log.close();
  truncateSync(path, statSync(path).size - 1);
  const next = logAt(path, { maxBytes: 600 });
  await next.append([sealed('b')]);
  await next.append([sealed('c')]);
  t.equal(logFiles(path).length, 2);
  t.match(verifyFiles(path), { kind: 'whole', lastSeq: 4 });
});

t.test('the first checkpoint of a file says whether the previous file was rotated or moved', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path, { maxBytes: 2000 });
  while (logFiles(path).length === 1 || !existsSync(path)) await log.append([sealed('a')]);
  const reasonOf = () => JSON.parse(readFileSync(path, 'utf8').split('\n')[0] ?? '').reason;
  t.equal(reasonOf(), 'rotation');
  rmSync(path);
  await log.append([sealed('b')]);
  t.equal(reasonOf(), 'moved');
  await log.close();
});

t.test('the chain continues after the file was moved, also if the worker crashed in between', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a'), sealed('b')]);
  renameSync(path, `${path}.000000000002`);
  await log.append([sealed('c')]);
  t.same(eventsOf(path), ['VramSealed', 'VramSealed', 'AuditCheckpoint', 'VramSealed']);
  await log.close();
  renameSync(path, `${path}.000000000004`);
  const next = logAt(path);
  await next.append([sealed('d')]);
  await next.close();
  t.equal(readChain(path).length, 6);
  t.equal(readChain(path).at(4)?.reason, 'rotation', 'the file has the name of a rotated file');
  writeFileSync(path, '');
  const last = logAt(path);
  await last.append([sealed('e')]);
  await last.close();
  t.equal(readChain(path).at(-1)?.seq, 6, 'an empty file counts as new');
});

t.test('rotated files are sorted by number, and other names are ignored', async (t) => {
  const names = ['b.log.000000000001', 'a.log.1000000000000', 'a.log.000000000300', 'a.log.000000000020', 'a.log.gz'];
  const sorted = ['/logs/a.log.000000000020', '/logs/a.log.000000000300', '/logs/a.log.1000000000000'];
  const readdir: FileSystem['readdir'] = async () => names;
  t.same(await rotatedFiles('/logs/a.log', { readdir }), sorted);
  t.same(await rotatedFiles('/nonexistent/a.log', nodeFileSystem), []);
});

t.test('no chain starts from genesis if the rotated files cannot be listed', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a')]);
  await log.close();
  renameSync(path, `${path}.000000000001`);
  let armed = true;
  const next = logAt(path, { fs: failingFileSystem((name) => armed && name === 'readdir') });
  await t.rejects(next.append([sealed('b')]), { message: 'EIO: readdir' });
  armed = false;
  await next.append([sealed('b')]);
  t.match(verifyFiles(path), { kind: 'whole', lastSeq: 3 });
});

t.test('a file that cannot be renamed grows beyond its limit, and no rotated file is overwritten', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const rename = async () => {
    throw new Error('EACCES');
  };
  const log = logAt(path, { maxBytes: 1000, fs: { ...nodeFileSystem, rename } });
  for (let index = 0; index < 10; index++) await log.append([sealed('a')]);
  t.same(logFiles(path), [path]);
  t.equal(readChain(path).length, 10);
  writeFileSync(`${path}.000000000010`, 'from another process\n');
  const other = logAt(path, { maxBytes: 1000 });
  await other.append([sealed('b')]);
  t.equal(readFileSync(`${path}.000000000010`, 'utf8'), 'from another process\n', 'the existing file is unchanged');
});
