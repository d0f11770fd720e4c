import { join } from 'node:path';
import t from 'tap';
import { AuditReader } from '../../../src/audit/read/reader.js';
import { nodeFileSystem } from '../../../src/storage/fs.js';
import { logAt, sealed } from '../../support/audit.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';

t.test('a file system that hangs fails the reads, and no other one occupies a thread', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a')]);
  await log.close();
  let wake = (): void => undefined;
  const woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  let calls = 0;
  const realpath = async (name: string) => {
    calls++;
    await woken;
    return nodeFileSystem.realpath(name);
  };
  const fs = { ...nodeFileSystem, realpath };
  const reader = new AuditReader({ path, lastSeq: () => undefined, timeoutSeconds: 0.05, fs });
  const late = { code: 'AUDIT_UNAVAILABLE', message: /did not respond/ };
  const reads = [reader.page(5), reader.page(5), reader.page(5)];
  for (const read of reads) await t.rejects(read, late);
  await t.rejects(reader.page(5), late);
  t.equal(calls, 1);
  wake();
  await until(async () => (await reader.page(5).catch(() => undefined))?.lines.length === 1, 'it recovers');
});

t.test('the number of waiting reads is bounded', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const reader = new AuditReader({ path, lastSeq: () => undefined });
  const reads = Array.from({ length: 20 }, () => reader.page(1));
  const outcomes = await Promise.allSettled(reads);
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 16);
  t.match(outcomes.at(-1), { reason: { code: 'RATE_LIMITED' } });
  t.same((await reader.page(1)).lines, []);
});
