import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { tests } from '../support/paths.js';

const script = join(tests, 'prose', 'check.mjs');

/** Runs the check over a repository that has these files, and returns its exit status and its lines. */
function check(t: Test, files: Record<string, string | Buffer>, ...args: string[]) {
  const cwd = t.testdir(files as Record<string, string>);
  execFileSync('git', ['init', '-q'], { cwd });
  execFileSync('git', ['add', '--all'], { cwd });
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { cwd, encoding: 'utf8' });
  return { status, lines: stdout.split('\n').filter(Boolean), stderr };
}

const refused = [
  'The shard is sealed anew.',
  'It is written all the same.',
  'The worker notices by itself.',
  'They end by themselves.',
  'After so many bytes.',
  'So many retries are counted.',
  'It waits for so long.',
  'The handle stands.',
  'The handle that stood before.',
  'The file lies in a directory.',
  'Where the secret lies.',
  'Where it lay.',
  'The key of before.',
  'The file was put aside.',
  'const putAside = 1;',
  'It puts aside the file.',
  'What came to pass.',
  'The client is told.',
  'Somebody holds the token.',
  "somebody's token",
  'Nobody reads it.',
  'Meanwhile, it loads.',
  'The upload goes on.',
  'Then both went on.',
  'It lets the shard be.',
  'It can not be read.',
];

const innocent = [
  'No word of this text, and none like retold, canot or understands, is banned.',
  'It stays valid so long as the key exists, and not so long ago it did.',
  'There are so many clients that the queue fills.',
  'The name jti stands for JWT ID.',
  'A client lies about its length; values lie between two limits.',
  'The lines are all the same length.',
  'A handle cannot be read. It can not only be read but verified.',
  'The record goes on the audit log.',
  'It lets the client see the bytes to be read.',
  'import { setTimeout } from "node:timers/promises"; let total = 0;',
];

t.test('refuses each banned form', async (t) => {
  const files = Object.fromEntries(refused.map((text, index) => [`${index}.txt`, `First line.\n${text}\n`]));
  const { status, lines } = check(t, files);
  t.equal(status, 1);
  for (const [index, text] of refused.entries())
    t.equal(lines.filter((line) => line.startsWith(`${index}.txt:2: "`)).length, 1, text);
  t.equal(lines.at(-1), `prose: ${refused.length} findings`);
});

t.test('finds a phrase that continues on the next line of a comment', async (t) => {
  const text = '/**\n * It reads all\n * the same.\n */\n// It can\n// not be.\n# The key of\n# before.\n';
  const { lines } = check(t, { 'a.ts': text });
  t.match(lines, [/^a\.ts:2: "all the same"/, /^a\.ts:5: "can not"/, /^a\.ts:7: "of before"/, /3 findings/]);
});

t.test('accepts innocent text, and files that are not text', async (t) => {
  const files = { 'a.ts': innocent.join('\n'), 'b.bin': 'anew\0', LICENSE: 'anew' };
  const { status, lines } = check(t, files);
  t.strictSame({ status, lines }, { status: 0, lines: [] });
});

t.test('refuses padded and wide tables in Markdown alone', async (t) => {
  const wide = `| ${'a'.repeat(120)} |`;
  const good = ['| a | b |', '| --- | :--- |', '| | c |', `| ${'a'.repeat(116)} |`];
  const bad = ['| a  | b |', '|  a | b |', '| ---- | --- |', '| a |  |', wide];
  const table = [...good, ...bad].join('\n');
  const { lines } = check(t, { 'a.md': `${table}\n`, 'b.ts': table, 'c.md': `~~~\n${table}\n~~~\n` });
  t.strictSame(
    lines.map((line) => line.split(':', 2).join(':')),
    ['a.md:5', 'a.md:6', 'a.md:7', 'a.md:8', 'a.md:9', 'prose: 5 findings'],
  );
  t.match(lines[4], /table row of 124 columns; the limit is 120/);
});

t.test('reads only the given paths, and counts per file with --summary', async (t) => {
  const files = { 'a.txt': 'anew\n', 'b.txt': 'anew, told\n' };
  t.strictSame(check(t, files, '--summary').lines, ['1\ta.txt', '2\tb.txt', 'prose: 3 findings']);
  t.strictSame(check(t, files, '--summary', 'b.txt').lines, ['2\tb.txt', 'prose: 2 findings']);
  const missing = check(t, files, 'c.txt');
  t.equal(missing.status, 2);
  t.match(missing.stderr, /c\.txt/);
});
