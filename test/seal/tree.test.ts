import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../src/seal/tree.js';
import { patternBytes } from '../support/bytes.js';
import { vectors as vectorFolder } from '../support/paths.js';

const vectors = readFileSync(join(vectorFolder, 'tree.tsv'), 'utf8')
  .split('\n')
  .filter((line) => /^\d/.test(line))
  .map((line) => line.split('\t'))
  .map(([length, sha256, tree]) => ({ length: Number(length), sha256, tree }));

t.test('the reference tree digest equals that of the fsverity tool at every boundary', async (t) => {
  t.ok(vectors.length > 40, 'the file has vectors');
  const longest = patternBytes(Math.max(...vectors.map(({ length }) => length)));
  for (const { length, sha256, tree } of vectors) {
    const bytes = longest.subarray(0, length);
    t.equal(createHash('sha256').update(bytes).digest('hex'), sha256, `SHA-256 of ${length} bytes`);
    t.equal(referenceTreeDigest(bytes), `sha256:${tree}`, `${length} bytes`);
  }
});
