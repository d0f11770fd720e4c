import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * A loader that changes one module of `dist` as it is read. `MUTANT` is JSON: `{ file, changes: [[from, to], …] }`. It throws
 * unless each `from` occurs exactly once, so that a mutant without effect cannot pass.
 */
const mutant = JSON.parse(process.env.MUTANT ?? '{}');
const target = mutant.file && new URL(`../../dist/${mutant.file}`, import.meta.url).href;

export async function load(url, context, nextLoad) {
  if (url !== target) return nextLoad(url, context);
  const source = mutant.changes.reduce(replaceOnce, readFileSync(fileURLToPath(url), 'utf8'));
  return { format: 'module', shortCircuit: true, source };
}

function replaceOnce(source, [from, to]) {
  const parts = source.split(from);
  if (parts.length === 2) return parts.join(to);
  throw new Error(`${mutant.file} contains ${parts.length - 1} times, not once: ${from}`);
}
