import { appendFileSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { readPage } from '../../../src/audit/read/page.js';
import { nodeFileSystem } from '../../../src/storage/fs.js';
import { logAt, logFiles, sealed } from '../../support/audit.js';
import { countingFileSystem } from '../../support/storage_file_system.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

/** The lines of all files, the newest first. */
const linesOf = (path: string): string[] =>
  logFiles(path)
    .flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== ''),
    )
    .reverse();

const damaged = { name: 'DamagedLog' };
const newest = { beforeSeq: Number.MAX_SAFE_INTEGER, isNewest: true };
const seqOf = (line: string): number => JSON.parse(line).seq;

/** Pages from the newest entry to the oldest one. `limits` repeat. */
async function allLines(path: string, limits: readonly number[], fs = nodeFileSystem): Promise<string[]> {
  const lines: string[] = [];
  for (let [query, turn] = [newest, 0]; ; turn++) {
    const limit = limits[turn % limits.length] ?? 1;
    const page = await readPage(path, { ...query, limit }, fs);
    t.ok(page.lines.length <= limit);
    lines.push(...page.lines.map(String));
    if (page.nextBeforeSeq === null) return lines;
    query = { beforeSeq: page.nextBeforeSeq, isNewest: false };
  }
}

t.test('pages of any length are exactly the log, across rotated files', async (t) => {
  const entries = fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(600) }, fc.constant(50_000)), { maxLength: 60 });
  const limits = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 });
  const maxBytes = fc.constantFrom(4096, 150_000, 2 ** 40);
  await fc.assert(
    fc.asyncProperty(entries, limits, maxBytes, async (lengths, limits, maxBytes) => {
      const path = join(temporaryDirectory(t), 'audit.log');
      const log = logAt(path, { maxBytes });
      const records = lengths.map((length, index) => {
        const record = sealed(`shard-${index}`);
        return { ...record, fields: { ...record.fields, detail: 'é'.repeat(length / 2) } };
      });
      for (let rest = records; rest.length > 0; rest = rest.slice(await log.append(rest)));
      await log.close();
      const counting = countingFileSystem(nodeFileSystem);
      const expected = lengths.length === 0 ? [] : linesOf(path);
      t.same(await allLines(path, limits, counting.fs), expected);
      t.equal(counting.open.size, 0, 'no descriptor is left');
    }),
    { numRuns: 20 },
  );
});

t.test('a page begins before any entry of a long file', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append(Array.from({ length: 3000 }, (_, index) => sealed(`shard-${index}`)));
  await log.close();
  const lines = linesOf(path);
  for (const beforeSeq of [1, 2, 3, 255, 256, 257, 1500, 2999, lines.length, lines.length + 1]) {
    const { lines: found, nextBeforeSeq } = await readPage(
      path,
      { limit: 2, beforeSeq, isNewest: false },
      nodeFileSystem,
    );
    t.same(found.map(String), lines.filter((line) => seqOf(line) < beforeSeq).slice(0, 2), `before ${beforeSeq}`);
    t.equal(nextBeforeSeq, beforeSeq > 3 ? beforeSeq - 2 : null);
  }
});

t.test('an entry that is not complete, or not synced yet, is not in a page', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a'), sealed('b'), sealed('c')]);
  await log.close();
  const lines = linesOf(path);
  const [, second = ''] = lines;
  appendFileSync(path, '{"seq":4,"time":"2026');
  t.same(await allLines(path, [2]), lines, 'a torn line');
  const unsynced = await readPage(path, { limit: 5, beforeSeq: 3, isNewest: true }, nodeFileSystem);
  t.same(unsynced.lines.map(String), lines.slice(1));
  truncateSync(path, readFileSync(path, 'utf8').indexOf(second) + second.length);
  t.same(await allLines(path, [1]), lines.slice(1), 'a last line without its newline');
});

t.test('a file that is rotated while it is read is read once', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a'), sealed('b'), sealed('c')]);
  await log.close();
  const lines = linesOf(path);
  const readdir = async (directory: string) => {
    renameSync(path, `${path}.000000000003`);
    return nodeFileSystem.readdir(directory);
  };
  const page = await readPage(path, { ...newest, limit: 3 }, { ...nodeFileSystem, readdir });
  t.same(page.lines.map(String), lines);
  t.same((await readPage(path, { ...newest, limit: 9 }, nodeFileSystem)).lines.map(String), lines, 'no current file');
});

t.test('damage ends the page before it, and is the error of the next one', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('a'), sealed('b'), sealed('c')]);
  await log.close();
  writeFileSync(path, readFileSync(path, 'utf8').replace('"shard_id":"b"', '"shard_id":"x"'));
  const page = await readPage(path, { ...newest, limit: 5 }, nodeFileSystem);
  t.same(page.lines.map(String).map(seqOf), [3]);
  t.equal(page.nextBeforeSeq, 3);
  await t.rejects(readPage(path, { limit: 5, beforeSeq: 3, isNewest: false }, nodeFileSystem), damaged);
  for (const text of ['no log at all\n', `${'x'.repeat(300_000)}\n`, 'x'.repeat(300_000)]) {
    writeFileSync(path, text);
    for (const isNewest of [true, false]) {
      await t.rejects(readPage(path, { limit: 5, beforeSeq: 9, isNewest }, nodeFileSystem), damaged, text.slice(0, 9));
    }
  }
});

t.test('a log that does not exist is empty, and a directory in its place is an error', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  t.same(await allLines(path, [5]), []);
  mkdirSync(path);
  await t.rejects(allLines(path, [5]), damaged);
});
