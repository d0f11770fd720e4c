// node test/prose/check.mjs [--summary] [PATH…]: refuses banned words and padded or wide Markdown tables.
// Reads every text file that git tracks, or those under PATH. words.json has the words, and the exceptions with a reason.
import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { words, skipped, allowed } = JSON.parse(readFileSync(join(import.meta.dirname, 'words.json'), 'utf8'));
const maxTableColumns = 120;

// A phrase may continue on the next line of a comment, so a space in a pattern also matches a line break and its marker.
const gap = '(?:[ \\t]+|[ \\t]*\\r?\\n[ \\t]*(?:\\/\\/+|\\*|#+|>)?[ \\t]*)';
const gapPattern = new RegExp(gap, 'g');
const toRegExp = (pattern) => new RegExp(`(?<![a-z])(?:${pattern.replaceAll(' ', gap)})(?![a-z])`, 'gi');
const rules = words.map((one) => ({ ...one, pattern: toRegExp(one.pattern) }));

const isUnder = (file, path) => (path.endsWith('/') ? file.startsWith(path) : file === path);
const isSkipped = (file) => skipped.some(({ path }) => isUnder(file, path));
const isAllowed = (file, word) => allowed.some((one) => isUnder(file, one.path) && one.word === word);

/** Banned words in one file's text. */
function bannedWords(file, text) {
  const findings = [];
  for (const { word, instead, pattern } of rules) {
    if (isAllowed(file, word)) continue;
    for (const { 0: found, index } of text.matchAll(pattern)) {
      const line = text.slice(0, index).split('\n').length;
      findings.push({ line, problem: `"${found.replaceAll(gapPattern, ' ')}"; write: ${instead}` });
    }
  }
  return findings;
}

/** Padded or wide rows of the tables in a Markdown file, outside fenced code. */
function badTableRows(text) {
  const findings = [];
  let fence;
  for (const [index, row] of text.split('\n').entries()) {
    const marker = /^\s*(```+|~~~+)/.exec(row)?.[1];
    if (marker !== undefined) fence = fence === undefined ? marker : row.trim().startsWith(fence) ? undefined : fence;
    if (fence !== undefined || !/^\s*\|.*\|\s*$/.test(row)) continue;
    const line = index + 1;
    if (/\| {2,}| {2,}\||\| *:?-{4,}/.test(row.trim())) findings.push({ line, problem: 'padded table row' });
    const columns = [...row].length;
    if (columns > maxTableColumns)
      findings.push({ line, problem: `table row of ${columns} columns; the limit is ${maxTableColumns}` });
  }
  return findings;
}

function findingsOf(root, file) {
  const path = join(root, file);
  if (isSkipped(file) || !lstatSync(path, { throwIfNoEntry: false })?.isFile()) return [];
  const text = readFileSync(path, 'utf8');
  if (text.includes('\0')) return [];
  const findings = [...bannedWords(file, text), ...(file.endsWith('.md') ? badTableRows(text) : [])];
  return findings.sort((a, b) => a.line - b.line);
}

const git = (...args) => execFileSync('git', args, { encoding: 'utf8', maxBuffer: 2 ** 26 });

function main() {
  const options = { summary: { type: 'boolean', default: false } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const root = git('rev-parse', '--show-toplevel').trim();
  // Without a path: the whole repository, also when it runs in a subdirectory.
  const paths = positionals.length > 0 ? positionals : [root];
  const files = git('ls-files', '-z', '--full-name', '--error-unmatch', '--', ...paths)
    .split('\0')
    .filter(Boolean);

  let count = 0;
  for (const file of new Set(files)) {
    const findings = findingsOf(root, file);
    count += findings.length;
    if (values.summary && findings.length > 0) console.log(`${findings.length}\t${file}`);
    if (!values.summary) for (const { line, problem } of findings) console.log(`${file}:${line}: ${problem}`);
  }
  if (count > 0) console.log(`prose: ${count} findings`);
  process.exitCode = count > 0 ? 1 : 0;
}

try {
  main();
} catch (error) {
  process.stderr.write(`prose: ${error.message}\n`);
  process.exitCode = 2;
}
