import { execFileSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { examplesOf, readerOf } from '../support/examples.js';
import { root } from '../support/paths.js';

const page = 'clients/python/README.md';
const modules = ['numpy', 'torch', 'setuptools', 'wheel', 'ensurepip'];

/** Debian's Python, which has its packages of torch and numpy. */
function missingModule(): string | undefined {
  return modules.find((name) => {
    try {
      execFileSync('/usr/bin/python3', ['-c', `import ${name}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
}

const missing = missingModule();
const skip = missing === undefined ? {} : { skip: `Python's ${missing} is not installed` };

t.test(`${page}: commands print the documented output`, skip, async (t) => {
  process.env.PATH = `/usr/bin:${process.env.PATH}`;
  const read = readerOf(t, (directory) => {
    for (const folder of ['clients', 'cuda']) symlinkSync(join(root, folder), join(directory, folder));
  });
  const examples = examplesOf(page, 'Quick start');
  t.ok(
    examples.some(({ shown }) => shown !== undefined),
    'the section shows output',
  );
  for (const example of examples) await read(t, example);
});
