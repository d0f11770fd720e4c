import {
  appendFileSync,
  closeSync,
  existsSync,
  readdirSync,
  readlinkSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { AuditWriter } from '../../src/audit/writer.js';
import { auditAt, eventsOf, identity, linesOf, readChain } from '../support/audit.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

/** The target of one of this process's descriptors; undefined if it was closed after it was listed. */
function targetOf(descriptor: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`, 'utf8');
  } catch {
    return undefined;
  }
}

t.test('entries are queued before the log is open, and discarded without a path', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const options = { maxBytes: 1e6, signer: identity, onChange: () => undefined };
  const early = new AuditWriter({ ...options, path });
  await early.appendBestEffort('AuthFailed', 'warning', { count: 1 });
  t.ok(early.isWritable);
  await early.open();
  await early.appendRequired('WorkerStarted', 'info', {});
  await early.close();
  t.same(eventsOf(path), ['AuthFailed', 'WorkerStarted', 'AuditCheckpoint']);
  const none = new AuditWriter({ ...options, path: undefined });
  await none.open();
  await none.appendRequired('WorkerStarted', 'info', {});
  await none.appendBestEffort('AuthFailed', 'warning', { count: 1 });
  await none.tick();
  t.ok(await none.recover());
  await none.close();
});

t.test('queued entries are written after an outage, and dropped entries are counted', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  const changes: boolean[] = [];
  const audit = await auditAt(path, () => void changes.push(audit.isWritable));
  await audit.appendRequired('VramAllocated', 'info', { shard_id: 'a' });
  renameSync(path, `${path}.away`);
  writeFileSync(path, 'not a log\n');
  await t.rejects(audit.appendRequired('VramSealed', 'info', { shard_id: 'a' }), {
    code: 'AUDIT_UNAVAILABLE',
    retryAfterMs: 1000,
  });
  t.notOk(audit.isWritable);
  t.notOk(await audit.recover());
  await audit.appendBestEffort('VramDeallocated', 'info', { shard_id: 'a' });
  t.same(changes, [false], 'one notification');
  renameSync(`${path}.away`, path);
  t.ok(await audit.recover());
  t.same(changes, [false, true]);
  t.match(readChain(path).slice(1), [
    { event: 'AuditRecovered', severity: 'warning', reason: 'outage', late_entries: 1, dropped_entries: 0 },
    { event: 'VramDeallocated', actor: 'worker', request_id: null },
  ]);

  renameSync(path, `${path}.away`);
  writeFileSync(path, 'not a log\n');
  for (let index = 0; index < 4200; index++) void audit.appendBestEffort('AuthFailed', 'warning', { count: index });
  renameSync(`${path}.away`, path);
  t.ok(await audit.recover());
  await audit.appendRequired('VramAllocated', 'info', { shard_id: 'b' });
  const late = readChain(path)
    .slice(3)
    .filter(({ event }) => event !== 'AuditCheckpoint');
  t.match(late[0], { event: 'AuditRecovered', late_entries: 4096, dropped_entries: 104 });
  t.match(late[1], { event: 'AuthFailed', count: 104 }, 'the oldest are dropped');
  t.match(late.at(-1), { event: 'VramAllocated', shard_id: 'b' });
  t.equal(late.length, 4098);
});

t.test('tick detects an unwritable log without a write, and its recovery', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const changes: string[] = [];
  const audit = await auditAt(path, (cause) => void changes.push(String(cause)));
  await audit.tick();
  t.ok(audit.isWritable);
  t.same(changes, []);
  await audit.appendRequired('VramAllocated', 'info', { shard_id: 'a' });
  appendFileSync(path, 'x\n');
  await audit.tick();
  t.notOk(audit.isWritable, 'another process wrote to the file');
  await audit.tick();
  t.notOk(audit.isWritable);
  truncateSync(path, statSync(path).size - 2);
  await audit.tick();
  t.ok(audit.isWritable);
  t.same(
    changes,
    ['Error: the last line of the audit log is not a valid entry', 'undefined'],
    'each change is reported with its cause',
  );
  await audit.close();
  await audit.close();
  t.same(eventsOf(path), ['VramAllocated', 'AuditRecovered', 'AuditCheckpoint']);
  t.match(readChain(path).at(-1), { reason: 'stop' });
});

t.test('close writes no checkpoint to an empty log', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const audit = await auditAt(path);
  await audit.close();
  t.same(linesOf(path), []);
});

t.test('close writes the queued entries', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const audit = await auditAt(path);
  await audit.appendRequired('WorkerStarted', 'info', {});
  renameSync(path, `${path}.away`);
  writeFileSync(path, 'not a log\n');
  await audit.appendBestEffort('WorkerStopped', 'info', {});
  renameSync(`${path}.away`, path);
  await audit.close();
  t.same(eventsOf(path), ['WorkerStarted', 'AuditRecovered', 'WorkerStopped', 'AuditCheckpoint']);
});

t.test('close writes entries queued before the open, records an outage, and closes its descriptor', async (t) => {
  const directory = temporaryDirectory(t);
  const before = openDescriptors();
  const options = { maxBytes: 1e6, signer: identity, onChange: () => undefined };
  const queued = new AuditWriter({ ...options, path: join(directory, 'queued.log') });
  await queued.appendBestEffort('AuthFailed', 'warning', { count: 1 });
  await queued.open();
  t.ok(await queued.recover());
  t.notOk(existsSync(join(directory, 'queued.log')), 'tryRecover does not write to a writable log');
  await queued.close();
  t.same(eventsOf(join(directory, 'queued.log')), ['AuthFailed', 'AuditCheckpoint']);

  const path = join(directory, 'outage.log');
  const outage = await auditAt(path);
  await outage.appendRequired('WorkerStarted', 'info', {});
  appendFileSync(path, 'x\n');
  await t.rejects(outage.appendRequired('WorkerStopped', 'info', {}), { code: 'AUDIT_UNAVAILABLE' });
  truncateSync(path, statSync(path).size - 2);
  await outage.close();
  t.same(eventsOf(path), ['WorkerStarted', 'AuditRecovered', 'AuditCheckpoint']);
  t.same(newDescriptors(before), []);
});

t.test('close reports a log that can be neither written nor closed, and does not throw', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const reported: string[] = [];
  const audit = await auditAt(path, (cause) => void reported.push(String(cause)));
  await audit.appendRequired('VramAllocated', 'info', { shard_id: 'a' });
  const open = readdirSync('/proc/self/fd').find((fd) => targetOf(fd) === path);
  closeSync(Number(open));
  await audit.close();
  t.match(reported, [/EBADF/]);
  t.same(eventsOf(path), ['VramAllocated']);
});
