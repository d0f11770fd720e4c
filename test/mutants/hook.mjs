import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * A loader that changes one module of `dist` as it is read. `MUTANT` is JSON: `{ file, changes: [[from, to], …] }`. Each
 * text has to stand there exactly once: a mutant that changes nothing, or more than it says, stops the process.
 */
const mutant = JSON.parse(process.env.MUTANT ?? '{}');
const target = mutant.file && new URL(`../../dist/${mutant.file}`, import.meta.url).href;

export async function load(url, context, nextLoad) {
  if (url !== target) return nextLoad(url, context);
  const source = mutant.changes.reduce(change, readFileSync(fileURLToPath(url), 'utf8'));
  return { format: 'module', shortCircuit: true, source };
}

function change(source, [from, to]) {
  const parts = source.split(from);
  if (parts.length === 2) return parts.join(to);
  throw new Error(`${mutant.file} has ${parts.length - 1} times: ${from}`);
}
