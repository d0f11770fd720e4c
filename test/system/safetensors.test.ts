import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { checkFiles } from '../support/formats.js';
import { mutate, mutations } from '../support/mutants.js';
import { safetensorsFile } from '../support/safetensors.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

/** Prints `valid` or `invalid` for each file that is named on standard input. */
const judge = `
import sys
from safetensors import deserialize
for path in sys.stdin.read().split('\\n'):
    try:
        deserialize(open(path, 'rb').read())
        print('valid')
    except Exception:
        print('invalid')
`;

const python = process.env.PYTHON ?? 'python3';

function isInstalled(): boolean {
  try {
    execFileSync(python, ['-c', 'import safetensors'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const tensors = {
  'a.weight': { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
  b: { dtype: 'F4', shape: [6], data_offsets: [16, 19] },
  c: { dtype: 'BF16', shape: [0], data_offsets: [19, 19] },
  d: { dtype: 'F6_E3M2', shape: [4], data_offsets: [19, 22] },
};
const good = safetensorsFile(tensors, { format: 'pt' });

t.test(
  'no file that the safetensors library refuses is valid here, and good files are valid to both',
  isInstalled() ? {} : { skip: 'the Python module safetensors is not installed' },
  async (t) => {
    const folder = temporaryDirectory(t);
    const mutants = fc.sample(mutations, 3_000).map((changes) => changes.reduce(mutate, good));
    const files = [good, ...mutants].map((bytes, index) => ({ bytes, path: join(folder, `${index}.safetensors`) }));
    for (const { path, bytes } of files) writeFileSync(path, bytes);
    const input = files.map(({ path }) => path).join('\n');
    const theirs = execFileSync(python, ['-c', judge], { input, encoding: 'utf8' }).trim().split('\n');
    const ours = files.map(({ bytes }) => !('rule' in checkFiles({ m: bytes })));
    t.equal(theirs.length, files.length);
    t.strictSame([theirs[0], ours[0]], ['valid', true]);
    const tooLax = files.filter((_, index) => theirs[index] === 'invalid' && ours[index]);
    t.strictSame(
      tooLax.map(({ bytes }) => bytes.toString('latin1')),
      [],
    );
    const both = ours.filter((isValid) => isValid).length;
    const refused = theirs.filter((verdict) => verdict === 'invalid').length;
    t.comment(`figure: of ${files.length} files, the library refuses ${refused}, and ${both} are valid to both`);
  },
);
