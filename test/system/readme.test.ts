import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { examplesOf, readerOf } from '../support/examples.js';
import { unlessInstalled } from '../support/installed.js';
import { root } from '../support/paths.js';
import { readTrimmed, trimmedAs } from '../support/trimmed.js';

t.test('the README commands print the documented output', async (t) => {
  const read = readerOf(t);
  for (const section of ['Quick start', 'See it catch corruption']) {
    const examples = examplesOf('README.md', section);
    t.ok(
      examples.some(({ shown }) => shown !== undefined),
      `${section} shows output`,
    );
    for (const example of examples) await read(t, example);
  }
  await t.test('a handle is verified with other tools', unlessInstalled('fsverity', 'openssl', 'basenc'), async (t) => {
    const examples = examplesOf('README.md', 'Verify a handle without trusting the worker');
    t.ok(examples.length > 0, 'the section has examples');
    for (const example of examples) await read(t, example);
  });
});

t.test('npm start is the command that these tests run', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  t.equal(scripts.start, 'exec node dist/main.cjs serve --simulate');
});

t.test('output that differs from the one shown is found', async (t) => {
  const equal = [
    ['{ "a": 1 }', { a: 1 }],
    ['{ "a": 1, … }', { a: 1, b: 2 }],
    ['{ "a": "x…" }', { a: 'xyz' }],
    ['{ "a": [{ "b": 1, … }] }', { a: [{ b: 1, c: 2 }] }],
    ['{ "a": [1, …] }', { a: [1, 2] }],
  ] as const;
  const different = [
    ['{ "a": 1 }', { a: 2 }],
    ['{ "a": 1 }', { a: 1, b: 2 }],
    ['{ "a": 1, … }', { b: 2 }],
    ['{ "a": "x…" }', { a: 'yz' }],
    ['{ "a": [{ "b": 1 }] }', { a: [] }],
    ['{ "a": [] }', { a: [1] }],
    ['{ "a": [1, …] }', { a: [] }],
    ['{ "a": [] }', { a: {} }],
  ] as const;
  for (const [text, value] of equal) t.strictSame(trimmedAs(readTrimmed(text), value), readTrimmed(text), text);
  for (const [text, value] of different) t.strictNotSame(trimmedAs(readTrimmed(text), value), readTrimmed(text), text);
});
