import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { examplesOf, readerOf } from '../support/examples.js';
import { unlessInstalled } from '../support/installed.js';
import { root } from '../support/paths.js';

/** Sections whose examples run one after the other, as on the page. */
const pages = {
  'docs/api.md': ['Plan', 'Resumable uploads', 'Commit by reference', 'Overview', 'Other clients', 'Verify', 'Errors'],
  'docs/handles.md': ['Offline verification', 'Current handles'],
  'docs/audit-log.md': ['Entries', 'The chain', 'Verify'],
  'docs/operations.md': ['Health', 'Background work'],
};

for (const [page, sections] of Object.entries(pages)) {
  t.test(
    `${page}: commands print the documented output`,
    unlessInstalled('curl', 'openssl', 'basenc', 'wget', 'python3'),
    async (t) => {
      const read = readerOf(t);
      for (const example of examplesOf('README.md', 'Quick start')) await read(t, { ...example, shown: undefined });
      for (const section of sections) {
        const examples = examplesOf(page, section);
        t.ok(examples.length > 0, `${section} has examples`);
        for (const example of examples) await read(t, example);
      }
    },
  );
}

t.test('docs/attach.md: an engine attaches a shard as shown', unlessInstalled('curl', 'make', 'g++'), async (t) => {
  const read = readerOf(t, (directory) => {
    for (const name of ['clients', 'cuda']) symlinkSync(join(root, name), join(directory, name));
  });
  const examples = examplesOf('docs/attach.md', 'Try it');
  t.equal(examples.length, 3);
  for (const example of examples) await read(t, example);
});
