import t from 'tap';
import { examplesOf, readerOf } from '../support/examples.js';
import { unlessInstalled } from '../support/installed.js';

/** Sections whose examples run one after the other, as on the page. */
const pages = {
  'docs/api.md': ['Plan', 'Commit by reference', 'Other clients', 'Verify', 'Errors'],
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
