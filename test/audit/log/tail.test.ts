import { copyFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FileSystem, nodeFileSystem } from '../../../src/storage/fs.js';
import { eventsOf, linesOf, logAt, readChain, sealed } from '../../support/audit.js';
import { verifyFiles } from '../../support/audit_verify.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('the tail is complete after short reads, and a file that shrinks is rejected', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append(Array.from({ length: 500 }, (_, index) => sealed(`${index}`)));
  await log.close();
  t.ok(statSync(path).size > 2 * 65_536, 'the file is longer than the tail');
  const read: FileSystem['read'] = (descriptor, buffer, offset, position) =>
    nodeFileSystem.read(descriptor, buffer.subarray(0, offset + 5000), offset, position);
  const next = logAt(path, { fs: { ...nodeFileSystem, read } });
  await next.append([sealed('b')]);
  await next.close();
  t.match(verifyFiles(path), { kind: 'whole', lastSeq: 502 });
  const none = async () => 0;
  await t.rejects(logAt(path, { fs: { ...nodeFileSystem, read: none } }).requireWritable(), { message: /shrank/ });
});

t.test('a start after a crash at any byte of the last line records the torn line', async (t) => {
  const directory = temporaryDirectory(t);
  const whole = join(directory, 'whole');
  const log = logAt(whole);
  await log.append([sealed('a')]);
  const kept = statSync(whole).size;
  await log.append([sealed('b')]);
  await log.close();
  const path = join(directory, 'audit.log');
  for (let length = 0; length < statSync(whole).size; length++) {
    copyFileSync(whole, path);
    truncateSync(path, length);
    const next = logAt(path);
    await next.append([sealed('c')]);
    await next.close();
    const entries = readChain(path);
    const torn = length - (length < kept ? 0 : kept);
    const [line] = linesOf(whole).slice(length < kept ? 0 : 1);
    const recovery = entries.find(({ event }) => event === 'AuditRecovered');
    if (torn === 0 || torn === line?.length) {
      t.equal(recovery, undefined, `cut to ${length}: at most a newline is missing`);
    } else {
      const text = line?.slice(0, torn) ?? '';
      const expected = { reason: 'torn', torn: { bytes: torn, base64: Buffer.from(text).toString('base64') } };
      if (recovery === undefined || !t.match(recovery, expected, `cut to ${length}`)) break;
    }
    t.equal(entries.at(-1)?.shard_id, 'c');
    t.equal(verifyFiles(path).kind, 'whole');
  }
});

t.test('a damaged end is rejected, and the file stays unchanged, until it is moved', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const ends: readonly ((text: string) => string)[] = [
    (text) => `${text}\n`,
    (text) => `${text}x\n`,
    (text) => `${text.slice(0, -1)}\v`,
    (text) => text.replace(/VramSealed(?!.*VramSealed)/s, 'VramSeaLed'),
    (text) => `${text}${'x'.repeat(200_000)}`,
    (text) => `${'x'.repeat(200_000)}\n${text.slice(0, 10)}`,
  ];
  for (const damage of ends) {
    rmSync(path, { force: true });
    const log = logAt(path);
    await log.append([sealed('a'), sealed('b')]);
    await log.close();
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    const found = readFileSync(path, 'utf8');
    const next = logAt(path);
    await t.rejects(next.append([sealed('c')]));
    await t.rejects(next.append([sealed('c')]), 'again');
    t.equal(readFileSync(path, 'utf8'), found, 'the file is unchanged');
    rmSync(path);
    await next.append([sealed('c')]);
    t.match(readChain(path), [{ shard_id: 'c' }]);
    await next.close();
  }
});

t.test('a file that is not an audit log stays unchanged; a torn first line is recovered', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const text of ['some-bearer-token-0123456789abcdef', '{"sequence":1}', '\0token']) {
    writeFileSync(path, text);
    const log = logAt(path);
    await t.rejects(log.append([sealed('a')]), /not an audit log/);
    t.equal(readFileSync(path, 'utf8'), text);
  }
  for (const text of ['{"s', '{"seq":1,"ti', '\0\0\0']) {
    writeFileSync(path, text);
    const log = logAt(path);
    await log.append([sealed('a')]);
    await log.append([sealed('b')]);
    await log.close();
    t.same(eventsOf(path), ['AuditRecovered', 'VramSealed', 'VramSealed'], 'one entry about the torn line');
  }
});
