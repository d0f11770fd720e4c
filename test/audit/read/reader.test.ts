import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
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

t.test('the time limit counts from the request, also while earlier ones read', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a')]);
  await log.close();
  const now = performance.now.bind(performance);
  let laterMs = 0;
  t.intercept(performance, 'now', { value: () => now() + laterMs, configurable: true });
  let calls = 0;
  let read = (): void => undefined;
  const realpath = async (name: string) => {
    if (++calls === 1) await new Promise<void>((resolve) => (read = resolve));
    return nodeFileSystem.realpath(name);
  };
  const reader = new AuditReader({ path, lastSeq: () => undefined, fs: { ...nodeFileSystem, realpath } });
  const [slow, late, alsoLate] = [reader.page(5), reader.page(5), reader.page(5)];
  await until(() => calls === 1);
  laterMs = 5000;
  read();
  t.equal((await slow).lines.length, 1);
  for (const page of [late, alsoLate]) {
    await t.rejects(page, { code: 'AUDIT_UNAVAILABLE', retriable: undefined, message: /did not respond in time/ });
  }
  t.equal(calls, 1, 'a request whose time is over does not read');
  t.equal((await reader.page(5)).lines.length, 1);
});

/** What can be in place of a file of the log. */
const others: Readonly<Record<string, (path: string) => unknown>> = {
  'a named pipe': (path) => execFileSync('mkfifo', [path]),
  'a directory': (path) => mkdirSync(path),
  'a device': (path) => symlinkSync('/dev/zero', path),
};

for (const [name, make] of Object.entries(others)) {
  t.test(`${name} in place of a file is an error, and not an empty page`, async (t: Test) => {
    const path = join(temporaryDirectory(t), 'audit.log');
    const log = logAt(path, { maxBytes: 1 });
    for (const id of ['a', 'b']) await log.append([sealed(id)]);
    await log.close();
    const reader = new AuditReader({ path, lastSeq: () => undefined });
    const error = { code: 'AUDIT_UNAVAILABLE', retriable: false, message: /is not a regular file/ };
    const rotated = `${path}.000000000001`;
    rmSync(rotated);
    make(rotated);
    const { lines, nextBeforeSeq } = await reader.page(5);
    t.ok(lines.length > 0, 'the entries that can be read');
    await t.rejects(reader.page(5, nextBeforeSeq ?? 0), error);
    rmSync(path);
    make(path);
    await t.rejects(reader.page(5), error);
    await t.rejects(logAt(path).append([sealed('c')]), { name: 'NotRegularFileError' });
  });
}

t.test('a log that others cut while it is read is not reported as damaged', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append(Array.from({ length: 400 }, (_, index) => sealed(`shard-${index}`)));
  await log.close();
  const read: typeof nodeFileSystem.read = (descriptor, buffer, offset, position) =>
    position === 0 ? Promise.resolve(0) : nodeFileSystem.read(descriptor, buffer, offset, position);
  const reader = new AuditReader({ path, lastSeq: () => undefined, fs: { ...nodeFileSystem, read } });
  await t.rejects(reader.page(500), { code: 'AUDIT_UNAVAILABLE', retriable: undefined, message: /cannot be read/ });
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
