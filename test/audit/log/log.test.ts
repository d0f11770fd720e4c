import {
  appendFileSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { type FileSystem, nodeFileSystem } from '../../../src/audit/log/fs.js';
import type { AuditLog } from '../../../src/audit/log/log.js';
import { rotatedFiles } from '../../../src/audit/log/rotation.js';
import { verifyLog } from '../../../src/audit/verify/verify_log.js';
import { auditAt, eventsOf, linesOf, logAt, logFiles, readChain, sealed } from '../../support/audit.js';
import { temporaryDirectory } from '../../support/process.js';

const verdictOf = (path: string) => verifyLog(logFiles(path), { kept: new Map() });

t.test('a log is for its owner alone, and grows line by line, each on the disk when append returns', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const calls: string[] = [];
  const recorded = (name: 'fdatasyncSync' | 'fsyncSync' | 'openSync' | 'writeSync') => ({
    [name]: (...args: never[]) => {
      calls.push(name);
      return (nodeFileSystem[name] as (...args: never[]) => unknown)(...args);
    },
  });
  const fs: FileSystem = {
    ...nodeFileSystem,
    ...recorded('fdatasyncSync'),
    ...recorded('fsyncSync'),
    ...recorded('openSync'),
    ...recorded('writeSync'),
  };
  const log = logAt(path, { fs });
  log.append([sealed('a')]);
  log.append([sealed('b'), sealed('c')]);
  const opened = ['openSync', 'openSync', 'fsyncSync'];
  t.same(calls, [...opened, 'writeSync', 'fdatasyncSync', 'writeSync', 'fdatasyncSync'], 'the file and its directory');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(
    readChain(path).map(({ shard_id }) => shard_id),
    ['a', 'b', 'c'],
  );
});

t.test('each 256th entry is a checkpoint, also over restarts and in the midst of a batch', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const count of [1, 253, 1, 1, 3, 600]) {
    const log = logAt(path);
    log.append(Array.from({ length: count }, () => sealed('a')));
    log.close();
  }
  const checkpoints = readChain(path).flatMap(({ seq, event }) => (event === 'AuditCheckpoint' ? [seq] : []));
  t.same(checkpoints, [256, 512, 768]);
  t.match(verdictOf(path), { kind: 'whole', checkpoints: 3 });
});

t.test('a file never grows beyond its size: the chain goes on in the next, also after a restart', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const maxBytes = 5000;
  for (let restart = 0; restart < 3; restart++) {
    const log = logAt(path, { maxBytes });
    for (let index = 0; index < 30; index++) log.append([sealed(`${index}`)]);
    log.close();
  }
  const files = logFiles(path);
  t.ok(files.length > 5, `${files.length} files`);
  for (const file of files) t.ok(statSync(file).size <= maxBytes, file);
  for (const file of files.slice(0, -1)) {
    const last = JSON.parse(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '');
    t.equal(file, `${path}.${String(last.seq).padStart(12, '0')}`, 'it is named by its last entry');
  }
  for (const file of files.slice(1)) {
    const first = JSON.parse(readFileSync(file, 'utf8').split('\n')[0] ?? '');
    t.match(first, { event: 'AuditCheckpoint', reason: 'rotation' });
    t.equal(verifyLog([file], { kept: new Map() }).kind, 'whole', 'it can be checked without those before it');
  }
  t.equal(readChain(path).filter(({ event }) => event === 'VramSealed').length, 90);
  t.match(verdictOf(path), { kind: 'whole', firstSeq: 1 });
  const gap = files.toSpliced(2, 1);
  const before =
    readFileSync(files[1] ?? '', 'utf8')
      .trimEnd()
      .split('\n')
      .at(-1) ?? '';
  t.match(verifyLog(gap, { kept: new Map() }), { kind: 'tampered', seq: JSON.parse(before).seq + 1, line: 1 });
});

t.test('a file that somebody takes away after a rotation is told from one that was put aside', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path, { maxBytes: 2000 });
  while (logFiles(path).length === 1 || !existsSync(path)) log.append([sealed('a')]);
  const reasonOf = () => JSON.parse(readFileSync(path, 'utf8').split('\n')[0] ?? '').reason;
  t.equal(reasonOf(), 'rotation');
  rmSync(path);
  log.append([sealed('b')]);
  t.equal(reasonOf(), 'moved');
  log.close();
});

t.test('a file grows up to its size, and not by a byte more', async (t) => {
  const directory = temporaryDirectory(t);
  const lengthOf = (name: string, maxBytes: number) => {
    const log = logAt(join(directory, name), { maxBytes });
    log.append([sealed('a')]);
    log.append([sealed('b')]);
    log.close();
    return logFiles(join(directory, name)).length;
  };
  lengthOf('probe', 1_000_000);
  const { size } = statSync(join(directory, 'probe'));
  t.equal(lengthOf('fits', size), 1);
  t.equal(lengthOf('full', size - 1), 2);
});

t.test('an entry that is larger than a file may be stands in it alone', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path, { maxBytes: 100 });
  log.append([sealed('a')]);
  t.same(logFiles(path), [path]);
  log.append([sealed('b')]);
  t.equal(logFiles(path).length, 2);
  t.equal(verdictOf(path).kind, 'whole');
});

t.test('a line is ended before its file is put aside', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  log.append([sealed('a')]);
  log.close();
  truncateSync(path, statSync(path).size - 1);
  const next = logAt(path, { maxBytes: 600 });
  next.append([sealed('b')]);
  next.append([sealed('c')]);
  t.equal(logFiles(path).length, 2);
  t.match(verdictOf(path), { kind: 'whole', lastSeq: 4 });
});

t.test('an entry is shorter than 64 KiB; a longer one is refused, and nothing of it written', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  log.append([sealed('')]);
  const bare = statSync(path).size - 1;
  const long = (bytes: number) => sealed('x'.repeat(bytes - bare));
  t.throws(() => log.append([long(65_536)]), { message: /too long/ });
  log.append([long(65_535)]);
  t.match(verdictOf(path), { kind: 'whole', lastSeq: 2 });
  log.close();
  const next = logAt(path);
  next.append([sealed('b')]);
  t.match(verdictOf(path), { kind: 'whole', lastSeq: 3 }, 'the next start finds its end');
});

t.test(
  'the end of a log is read whole, however little each call reads; one that ends too soon is refused',
  async (t) => {
    const path = join(temporaryDirectory(t), 'audit.log');
    const log = logAt(path);
    log.append(Array.from({ length: 500 }, (_, index) => sealed(`${index}`)));
    log.close();
    t.ok(statSync(path).size > 2 * 65_536, 'its end is not all of it');
    const readSync = ((fd: number, buffer: Buffer, offset: number, length: number, position: number) =>
      nodeFileSystem.readSync(fd, buffer, offset, Math.min(length, 5000), position)) as FileSystem['readSync'];
    const next = logAt(path, { fs: { ...nodeFileSystem, readSync } });
    next.append([sealed('b')]);
    next.close();
    t.match(verdictOf(path), { kind: 'whole', lastSeq: 502 });
    const none = (() => 0) as unknown as FileSystem['readSync'];
    t.throws(() => logAt(path, { fs: { ...nodeFileSystem, readSync: none } }).requireWritable(), { message: /shrank/ });
  },
);

t.test('a log that has not begun is not closed by a checkpoint', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const audit = await auditAt(path);
  audit.close();
  t.same(linesOf(path), []);
});

t.test('files that were put aside are taken in the order of their numbers, and no other names', async (t) => {
  const names = ['b.log.000000000001', 'a.log.1000000000000', 'a.log.000000000300', 'a.log.000000000020', 'a.log.gz'];
  const sorted = ['/logs/a.log.000000000020', '/logs/a.log.000000000300', '/logs/a.log.1000000000000'];
  const readdirSync = (() => names) as unknown as FileSystem['readdirSync'];
  t.same(rotatedFiles('/logs/a.log', { readdirSync }), sorted);
  t.same(rotatedFiles('/nonexistent/a.log', nodeFileSystem), []);
});

t.test('where the files that were put aside can not be listed, no chain begins anew', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  log.append([sealed('a')]);
  log.close();
  renameSync(path, `${path}.000000000001`);
  let armed = true;
  const next = logAt(path, { fs: failingFileSystem((name) => armed && name === 'readdirSync') });
  t.throws(() => next.append([sealed('b')]), { message: 'EIO: readdirSync' });
  armed = false;
  next.append([sealed('b')]);
  t.match(verdictOf(path), { kind: 'whole', lastSeq: 3 });
});

t.test('whoever moves the file away gets a new one that goes on; a crash in between loses nothing', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  log.append([sealed('a'), sealed('b')]);
  renameSync(path, `${path}.000000000002`);
  log.append([sealed('c')]);
  t.same(eventsOf(path), ['VramSealed', 'VramSealed', 'AuditCheckpoint', 'VramSealed']);
  log.close();
  renameSync(path, `${path}.000000000004`);
  const next = logAt(path);
  next.append([sealed('d')]);
  next.close();
  t.equal(readChain(path).length, 6);
  t.equal(readChain(path).at(4)?.reason, 'rotation', 'it was put aside as a worker does');
  writeFileSync(path, '');
  const last = logAt(path);
  last.append([sealed('e')]);
  last.close();
  t.equal(readChain(path).at(-1)?.seq, 6, 'an empty file is one that was just begun');
});

t.test('a file that can not be put aside is written on', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const refuse = () => {
    throw new Error('EACCES');
  };
  const log = logAt(path, { maxBytes: 1000, fs: { ...nodeFileSystem, renameSync: refuse } });
  for (let index = 0; index < 10; index++) log.append([sealed('a')]);
  t.same(logFiles(path), [path]);
  t.equal(readChain(path).length, 10);
  writeFileSync(`${path}.000000000010`, 'somebody else wrote this\n');
  const other = logAt(path, { maxBytes: 1000 });
  other.append([sealed('b')]);
  t.equal(readFileSync(`${path}.000000000010`, 'utf8'), 'somebody else wrote this\n', 'nothing is overwritten');
});

t.test('wherever a crash cut the last line off, the next start closes it with an entry of its own', async (t) => {
  const directory = temporaryDirectory(t);
  const whole = join(directory, 'whole');
  const log = logAt(whole);
  log.append([sealed('a')]);
  const kept = statSync(whole).size;
  log.append([sealed('b')]);
  log.close();
  const path = join(directory, 'audit.log');
  for (let length = 0; length < statSync(whole).size; length++) {
    copyFileSync(whole, path);
    truncateSync(path, length);
    const next = logAt(path);
    next.append([sealed('c')]);
    next.close();
    const entries = readChain(path);
    const torn = length - (length < kept ? 0 : kept);
    const [line] = linesOf(whole).slice(length < kept ? 0 : 1);
    const told = entries.find(({ event }) => event === 'AuditRecovered');
    if (torn === 0 || torn === line?.length) {
      t.equal(told, undefined, `cut to ${length}: only a newline was missing, if anything`);
    } else {
      const text = line?.slice(0, torn) ?? '';
      const expected = { reason: 'torn', torn: { bytes: torn, base64: Buffer.from(text).toString('base64') } };
      if (told === undefined || !t.match(told, expected, `cut to ${length}`)) break;
    }
    t.equal(entries.at(-1)?.shard_id, 'c');
    t.equal(verdictOf(path).kind, 'whole');
  }
});

t.test('an end that no crash leaves behind is not closed but refused, until the file is moved away', async (t) => {
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
    log.append([sealed('a'), sealed('b')]);
    log.close();
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    const found = readFileSync(path, 'utf8');
    const next = logAt(path);
    t.throws(() => next.append([sealed('c')]));
    t.throws(() => next.append([sealed('c')]), 'again');
    t.equal(readFileSync(path, 'utf8'), found, 'nothing was touched');
    rmSync(path);
    next.append([sealed('c')]);
    t.match(readChain(path), [{ shard_id: 'c' }]);
    next.close();
  }
});

t.test('a file that is no audit log is left alone, what a crash leaves of a first entry is not', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const text of ['a-token-of-somebody-0123456789abcdef', '{"sequence":1}', '\0token']) {
    writeFileSync(path, text);
    const log = logAt(path);
    t.throws(() => log.append([sealed('a')]), /not an audit log/);
    t.equal(readFileSync(path, 'utf8'), text);
  }
  for (const text of ['{"s', '{"seq":1,"ti', '\0\0\0']) {
    writeFileSync(path, text);
    const log = logAt(path);
    log.append([sealed('a')]);
    log.append([sealed('b')]);
    log.close();
    t.same(eventsOf(path), ['AuditRecovered', 'VramSealed', 'VramSealed'], 'it is told of once');
  }
});

t.test('what somebody else did to the file while it was open is noticed before the next entry', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  log.append([sealed('a')]);
  const one = readFileSync(path);
  log.append([sealed('b')]);
  const two = readFileSync(path);
  for (const text of [one, Buffer.concat([two, one]), Buffer.from('{}\n')]) {
    writeFileSync(path, text);
    t.throws(() => log.append([sealed('c')]), 'another end');
    t.throws(() => log.requireWritable());
    t.same(readFileSync(path), text);
  }
  const other = logAt(path.replace('audit', 'other'));
  other.append([sealed('x'), sealed('y')]);
  copyFileSync(path.replace('audit', 'other'), path);
  t.throws(() => log.append([sealed('c')]), 'a log of the same length that is not ours');
  rmSync(path);
  writeFileSync(path, two);
  appendFileSync(path, 'begun by another hand');
  log.append([sealed('c')]);
  t.same(eventsOf(path), ['VramSealed', 'VramSealed', 'AuditRecovered', 'VramSealed'], 'the same log in another file');
});

/**
 * A file system whose calls fail as `fails` says, each time it is asked. A write may then have got half through; a close
 * that fails has closed all the same, as Linux has it.
 */
function failingFileSystem(fails: (name: keyof FileSystem) => boolean): FileSystem {
  const wrapped = Object.entries(nodeFileSystem).map(([name, call]) => [
    name,
    (...args: unknown[]) => {
      if (!fails(name as keyof FileSystem)) return (call as (...args: unknown[]) => unknown)(...args);
      if (name === 'writeSync') appendHalf(args as [number, Buffer, number]);
      if (name === 'fdatasyncSync' || name === 'closeSync') (call as (...args: unknown[]) => unknown)(...args);
      throw new Error(`EIO: ${name}`);
    },
  ]);
  return Object.fromEntries(wrapped) as FileSystem;
}

/** Counts the descriptors that are open. */
function countingFileSystem(fs: FileSystem): { readonly fs: FileSystem; readonly open: ReadonlySet<number> } {
  const open = new Set<number>();
  const openSync: FileSystem['openSync'] = (...args) => {
    const descriptor = fs.openSync(...args);
    open.add(descriptor);
    return descriptor;
  };
  const closeSync: FileSystem['closeSync'] = (descriptor) => {
    open.delete(descriptor);
    fs.closeSync(descriptor);
  };
  return { fs: { ...fs, openSync, closeSync }, open };
}

const appendHalf = ([descriptor, text, from]: [number, Buffer, number]): void => {
  nodeFileSystem.writeSync(descriptor, text, from, Math.floor((text.length - from) / 2));
};

t.test('whichever call fails, the log is whole, and what append returned for is in it, in order', async (t) => {
  const directory = temporaryDirectory(t);
  let run = 0;
  const plan = fc.record({
    failures: fc
      .array(fc.record({ wellFor: fc.nat(30), failFor: fc.integer({ min: 1, max: 4 }) }), {
        minLength: 1,
        maxLength: 8,
      })
      .map((spells) =>
        spells.flatMap(({ wellFor, failFor }) => [
          ...Array<boolean>(wellFor).fill(false),
          ...Array<boolean>(failFor).fill(true),
        ]),
      ),
    counts: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 25 }),
    maxBytes: fc.constantFrom(1500, 4000, 1_000_000),
    restartAfter: fc.nat(25),
  });
  fc.assert(
    fc.property(plan, ({ failures, counts, maxBytes, restartAfter }) => {
      const path = join(directory, `${run++}.log`);
      let call = 0;
      const { fs, open } = countingFileSystem(failingFileSystem(() => failures[call++] === true));
      let log = logAt(path, { maxBytes, fs });
      const done: string[] = [];
      for (const [index, count] of counts.entries()) {
        const ids = Array.from({ length: count }, (_, part) => `${index}-${part}`);
        try {
          log.append(ids.map(sealed));
          done.push(...ids);
        } catch {
          // It says that nothing was written; whoever asked must not go on.
        }
        if (index === restartAfter) {
          closeAnyhow(log);
          log = logAt(path, { maxBytes, fs });
        }
      }
      call = failures.length;
      log.append([sealed('end')]);
      log.close();
      const ids = readChain(path).flatMap(({ event, shard_id }) => (event === 'VramSealed' ? [String(shard_id)] : []));
      const expected = [...done, 'end'];
      // A line that could be neither synced nor taken back is told though nothing came of it; never the other way round.
      const told = ids.filter((id) => expected.includes(id));
      const verdict = verdictOf(path);
      if (open.size > 0) throw new Error(`descriptors left open: ${[...open]}`);
      if (verdict.kind === 'whole' && told.join() === expected.join()) return;
      throw new Error(`${JSON.stringify(verdict)} told ${told} of ${expected}`);
    }),
    { numRuns: 500 },
  );
});

const closeAnyhow = (log: AuditLog): void => {
  try {
    log.close();
  } catch {
    // The process that ends does not mind.
  }
};

t.test('when a write fails and can be taken back, nothing of it stays', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const failing of ['writeSync', 'fdatasyncSync'] as const) {
    rmSync(path, { force: true });
    let armed = false;
    const { fs, open } = countingFileSystem(failingFileSystem((name) => armed && name === failing));
    const log = logAt(path, { fs });
    log.append([sealed('a')]);
    const before = readFileSync(path);
    armed = true;
    t.throws(() => log.append([sealed('b')]), { message: `EIO: ${failing}` });
    t.same(readFileSync(path), before);
    t.equal(open.size, 0, 'what failed is not written to again');
    armed = false;
    log.append([sealed('c')]);
    t.same(
      readChain(path).map(({ shard_id }) => shard_id),
      ['a', 'c'],
    );
  }
});

t.test('a log whose file fails to close is opened anew', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  let armed = false;
  const log = logAt(path, { fs: failingFileSystem((name) => armed && name === 'closeSync') });
  log.append([sealed('a')]);
  armed = true;
  t.throws(() => log.close(), { message: 'EIO: closeSync' });
  armed = false;
  log.append([sealed('b')]);
  log.close();
  t.match(verdictOf(path), { kind: 'whole', lastSeq: 2 });
});

t.test('a file that somebody made shorter while a write failed is not made longer', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  let armed = false;
  const writeSync = ((...args: [number, Buffer, number]) => {
    if (!armed) return nodeFileSystem.writeSync(...args);
    truncateSync(path, 10);
    throw new Error('EIO');
  }) as FileSystem['writeSync'];
  const log = logAt(path, { fs: { ...nodeFileSystem, writeSync } });
  log.append([sealed('a')]);
  armed = true;
  t.throws(() => log.append([sealed('b')]), { message: 'EIO' });
  t.equal(statSync(path).size, 10);
});

t.test(
  'what came to pass while the log was away follows when it is back, and what did not fit is counted',
  async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'audit.log');
    const turns: boolean[] = [];
    const audit = await auditAt(path, () => void turns.push(audit.isWritable));
    audit.appendRequired('VramAllocated', 'info', { shard_id: 'a' });
    renameSync(path, `${path}.away`);
    writeFileSync(path, 'not a log\n');
    t.throws(() => audit.appendRequired('VramSealed', 'info', { shard_id: 'a' }), {
      code: 'AUDIT_UNAVAILABLE',
      retryAfterMs: 1000,
    });
    t.notOk(audit.isWritable);
    t.notOk(audit.tryRecover());
    audit.appendBestEffort('VramDeallocated', 'info', { shard_id: 'a' });
    t.same(turns, [false], 'told once');
    renameSync(`${path}.away`, path);
    t.ok(audit.tryRecover());
    t.same(turns, [false, true]);
    t.match(readChain(path).slice(1), [
      { event: 'AuditRecovered', severity: 'warning', reason: 'outage', late_entries: 1, dropped_entries: 0 },
      { event: 'VramDeallocated', actor: 'worker', request_id: null },
    ]);

    renameSync(path, `${path}.away`);
    writeFileSync(path, 'not a log\n');
    for (let index = 0; index < 300; index++) audit.appendBestEffort('AuthFailed', 'warning', { count: index });
    renameSync(`${path}.away`, path);
    audit.appendRequired('VramAllocated', 'info', { shard_id: 'b' });
    const late = readChain(path)
      .slice(3)
      .filter(({ event }) => event !== 'AuditCheckpoint');
    t.match(late[0], { event: 'AuditRecovered', late_entries: 256, dropped_entries: 44 });
    t.match(late[1], { event: 'AuthFailed', count: 44 }, 'the oldest were dropped');
    t.match(late.at(-1), { event: 'VramAllocated', shard_id: 'b' });
    t.equal(late.length, 258);
  },
);

t.test('what waits for the log is written when it is closed, if it can be', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const audit = await auditAt(path);
  audit.appendRequired('WorkerStarted', 'info', {});
  renameSync(path, `${path}.away`);
  writeFileSync(path, 'not a log\n');
  audit.appendBestEffort('WorkerStopped', 'info', {});
  renameSync(`${path}.away`, path);
  audit.close();
  t.same(eventsOf(path), ['WorkerStarted', 'AuditRecovered', 'WorkerStopped', 'AuditCheckpoint']);
});

t.test('so little room that an entry might not fit is none, whoever the worker runs as', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const room = (bavail: number, bsize: number) => {
    const statfsSync = () => ({ bavail, bfree: bavail + 1_000_000, bsize });
    return { ...nodeFileSystem, statfsSync: statfsSync as unknown as FileSystem['statfsSync'] };
  };
  for (const bytes of [1, 512, 4096]) {
    const blocks = 4096 / bytes;
    const full = logAt(path, { fs: room(blocks - 1, bytes) });
    t.throws(
      () => full.requireWritable(),
      { message: /full/ },
      `${blocks - 1} blocks of ${bytes}, and many more kept back for root`,
    );
    full.close();
    const log = logAt(path, { fs: room(blocks, bytes) });
    log.requireWritable();
    log.close();
  }
});

t.test('a file that may not be written is seen without a write', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const accessSync = (_path: unknown, mode: unknown) => {
    if (mode === constants.W_OK) throw new Error('EROFS');
  };
  t.throws(() => logAt(path, { fs: { ...nodeFileSystem, accessSync } }).requireWritable(), { message: 'EROFS' });
});

t.test('a log that could not be written is seen without a write, and back in use when it can', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const turns: string[] = [];
  const audit = await auditAt(path, (cause) => void turns.push(String(cause)));
  audit.tick();
  t.ok(audit.isWritable);
  t.same(turns, []);
  audit.appendRequired('VramAllocated', 'info', { shard_id: 'a' });
  appendFileSync(path, 'x\n');
  audit.tick();
  t.notOk(audit.isWritable, 'somebody has written to it');
  audit.tick();
  t.notOk(audit.isWritable);
  truncateSync(path, statSync(path).size - 2);
  audit.tick();
  t.ok(audit.isWritable);
  t.same(
    turns,
    ['Error: the last line of the audit log is not a valid entry', 'undefined'],
    'each turn is told, and why',
  );
  audit.close();
  audit.close();
  t.same(eventsOf(path), ['VramAllocated', 'AuditRecovered', 'AuditCheckpoint']);
  t.match(readChain(path).at(-1), { reason: 'stop' });
});

t.test('an end writes what waits, also that nothing was written for a while, and leaves nothing open', async (t) => {
  const directory = temporaryDirectory(t);
  const { AuditWriter } = await import('../../../src/audit/writer.js');
  const { identity } = await import('../../support/audit.js');
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  const options = { maxBytes: 1e6, signer: identity, onChange: () => undefined };
  const noted = new AuditWriter({ ...options, path: join(directory, 'noted.log') });
  noted.appendBestEffort('AuthFailed', 'warning', { count: 1 });
  await noted.open();
  t.ok(noted.tryRecover());
  t.notOk(existsSync(join(directory, 'noted.log')), 'whether a log that is well is well is no reason to write');
  noted.close();
  t.same(eventsOf(join(directory, 'noted.log')), ['AuthFailed', 'AuditCheckpoint']);

  const path = join(directory, 'refused.log');
  const refused = await auditAt(path);
  refused.appendRequired('WorkerStarted', 'info', {});
  appendFileSync(path, 'x\n');
  t.throws(() => refused.appendRequired('WorkerStopped', 'info', {}), { code: 'AUDIT_UNAVAILABLE' });
  truncateSync(path, statSync(path).size - 2);
  refused.close();
  t.same(eventsOf(path), ['WorkerStarted', 'AuditRecovered', 'AuditCheckpoint']);
  t.equal(open(), before);
});

/** What a descriptor of this process leads to; the directory's own is gone by the time that it is asked about. */
function targetOf(descriptor: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`, 'utf8');
  } catch {
    return undefined;
  }
}

t.test('a log that can neither be written nor closed at the end is told of, and no more', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const told: string[] = [];
  const audit = await auditAt(path, (cause) => void told.push(String(cause)));
  audit.appendRequired('VramAllocated', 'info', { shard_id: 'a' });
  const open = readdirSync('/proc/self/fd').find((fd) => targetOf(fd) === path);
  closeSync(Number(open));
  audit.close();
  t.match(told, [/EBADF/, /EBADF/]);
  t.same(eventsOf(path), ['VramAllocated']);
});

t.test('before it is open, and without a path, nothing fails', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const { AuditWriter } = await import('../../../src/audit/writer.js');
  const { identity } = await import('../../support/audit.js');
  const options = { maxBytes: 1e6, signer: identity, onChange: () => undefined };
  const early = new AuditWriter({ ...options, path });
  early.appendBestEffort('AuthFailed', 'warning', { count: 1 });
  t.ok(early.isWritable);
  await early.open();
  early.appendRequired('WorkerStarted', 'info', {});
  early.close();
  t.same(eventsOf(path), ['AuthFailed', 'WorkerStarted', 'AuditCheckpoint']);
  const none = new AuditWriter({ ...options, path: undefined });
  await none.open();
  none.appendRequired('WorkerStarted', 'info', {});
  none.appendBestEffort('AuthFailed', 'warning', { count: 1 });
  none.tick();
  t.ok(none.tryRecover());
  none.close();
});
