import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { root } from '../support/paths.js';

const documentsOf = (folder: string, recursive = true): string[] =>
  readdirSync(join(root, folder), { recursive, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md') && !file.includes('node_modules'))
    .map((file) => join(folder, file));

const folders = ['bench', 'cuda', 'docs', 'src', 'test'];
const documents = [...documentsOf('.', false), ...folders.flatMap((folder) => documentsOf(folder))];

/** Text without fenced code, whose paths may be examples. */
const proseOf = (file: string) => readFileSync(join(root, file), 'utf8').replaceAll(/^```.*?^```/gms, '');

t.test('files that documents name from the root exist', async (t) => {
  const path = /`((?:src|test|cuda|docs|bench|openapi|\.ci)\/[\w./-]+\.(?:ts|mjs|cts|md|cpp|h|cu|json|sh))`/g;
  for (const file of documents) {
    for (const [, named = ''] of proseOf(file).matchAll(path)) {
      const candidates = [join(root, named), join(root, dirname(file), named)];
      t.ok(candidates.some(existsSync), `${file}: ${named}`);
    }
  }
});
